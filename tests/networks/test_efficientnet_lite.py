from __future__ import annotations

import pytest
import torch
from inkling.meta.head import unit
from inkling.networks.convolution import NormalisedConvolution
from inkling.networks.efficientnet_lite import EPSILON, EfficientNetLite, Variant
from inkling.networks.metric import CENTRE, SHARE, WEIGHT
from torch import nn

from .parameters import drawn

NETWORK = EfficientNetLite(image_size=64)


class Same(nn.Module):
    """A convolution that pads as TensorFlow does, and its norm, of torch's own modules."""

    def __init__(self, params: dict[str, torch.Tensor], own: NormalisedConvolution) -> None:
        super().__init__()
        self.own = own
        self.convolution = nn.Conv2d(
            own.inputs, own.outputs, own.size, own.stride, groups=own.groups, bias=False
        )
        self.convolution.weight = nn.Parameter(params[f"{own.name}.weight"])
        self.norm = nn.BatchNorm2d(own.outputs, eps=EPSILON)
        self.norm.weight = nn.Parameter(params[f"{own.name}.gain"])
        self.norm.bias = nn.Parameter(params[f"{own.name}.bias"])
        self.norm.running_mean = params[f"{own.name}.mean"]
        self.norm.running_var = params[f"{own.name}.variance"]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # On sides that the stride divides, kernels reach over both edges by size - stride.
        total = self.own.size - self.own.stride
        before, after = total // 2, total - total // 2
        padded = nn.functional.pad(images, (before, after, before, after))
        normalised: torch.Tensor = self.norm(self.convolution(padded))
        return normalised


@torch.no_grad()
def test_features_are_those_of_torch_modules() -> None:
    params = drawn(NETWORK)
    images = torch.randn((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    hidden = nn.functional.relu6(Same(params, NETWORK.stem()).eval()(images))
    ends: dict[int, torch.Tensor] = {}
    for block in NETWORK.blocks():
        inner = hidden
        for own in block.convolutions():
            inner = Same(params, own).eval()(inner)
            if own is not block.project:
                inner = nn.functional.relu6(inner)
        hidden = inner + hidden if inner.shape == hidden.shape else inner
        ends[hidden.shape[1]] = hidden
    last = nn.functional.relu6(Same(params, NETWORK.last()).eval()(hidden)).mean((2, 3))
    before = torch.cat(
        [
            pooled
            for channels in (80, 112, 192, 320)
            for pooled in (ends[channels].mean((2, 3)), ends[channels].flatten(2).std(2, False))
        ],
        1,
    )
    rooted = before.sign() * before.abs().sqrt()
    metric = (rooted - params[CENTRE]) @ params[WEIGHT]
    expected = [unit(last), params[SHARE] * unit(metric)]
    got = NETWORK.features(params, images)
    assert got.shape == (2, NETWORK.feature_size) == (2, 1280 + 2 * (80 + 112 + 192 + 320))
    torch.testing.assert_close(got, torch.cat(expected, 1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("variant", "blocks", "convolved"), [(0, 16, 3_371_008), (1, 21, 4_135_680), (2, 21, 4_811_072)]
)
def test_variants_have_the_published_numbers_of_weights(
    variant: Variant, blocks: int, convolved: int
) -> None:
    network = EfficientNetLite(variant)
    params = network.initialize(torch.Generator())
    assert len(network.blocks()) == blocks
    learned = sum(
        tensor.numel()
        for name, tensor in params.items()
        if name not in network.fixed() and not name.startswith("metric")
    )
    assert learned == convolved


@pytest.mark.parametrize(("variant", "size"), [(3, 224), (0, 31)])
def test_options_that_there_are_not_are_refused(variant: Variant, size: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        EfficientNetLite(variant, size)
