"""EfficientNet-Lite, a backbone for photographs: no squeeze and excitation, ReLU6 throughout.

(EfficientNet, Tan and Le, ICML 2019, table 1; the Lite variants keep stem, first and last stage
and the final convolution at the width and depth of Lite0.) Inverted residual blocks: a 1x1
convolution that expands, a depthwise one, and a 1x1 convolution that projects. Its published
weights pad as TensorFlow does and normalise with an epsilon of 1e-3.

Features are more than the means of the last maps, which forget what tells far domains apart (cells,
hand signs): beside these stand means and deviations of the maps before the last block. Signed
square roots tame their long tails, and a linear metric, learned across domains, brings either
kind to unit length in its own space.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

from ..meta.params import Params
from .convolution import Convolve, NormalisedConvolution, by_batch

Variant = Literal[0, 1, 2]

SCALES: dict[Variant, tuple[float, float, int]] = {
    0: (1.0, 1.0, 224),
    1: (1.0, 1.1, 240),
    2: (1.1, 1.2, 260),
}
"""Width and depth as multiples of Lite0's, and the side of the images of its pre-training."""
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of each stage: blocks, side of the depthwise kernel, stride, expansion and output channels."""
STEM, LAST = 32, 1280
EPSILON = 1e-3
TINY = 1e-6
"""Keeps the slopes of roots finite."""


@dataclass(frozen=True)
class InvertedResidual:
    """An inverted residual block; ``expand`` is None where it does not expand."""

    expand: NormalisedConvolution | None
    depthwise: NormalisedConvolution
    project: NormalisedConvolution

    def convolutions(self) -> tuple[NormalisedConvolution, ...]:
        """The convolutions in their order."""
        expand = () if self.expand is None else (self.expand,)
        return (*expand, self.depthwise, self.project)

    def __call__(self, convolve: Convolve, hidden: torch.Tensor) -> torch.Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height / stride, ...)`."""
        inner = hidden
        if self.expand is not None:
            inner = functional.relu6(convolve(self.expand, inner))
        inner = functional.relu6(convolve(self.depthwise, inner))
        inner = convolve(self.project, inner)
        return inner + hidden if inner.shape == hidden.shape else inner


@dataclass(frozen=True)
class EfficientNetLite:
    """EfficientNet-Lite0, 1 or 2 over colour images of side ``image_size``, 32 or more."""

    variant: Variant = 0
    image_size: int = 224

    def __post_init__(self) -> None:
        """Raise ValueError for a variant that there is not, or too small an image."""
        if self.variant not in SCALES:
            raise ValueError(f"variant: expected one of {sorted(SCALES)}, got {self.variant}")
        if self.image_size < 32:
            raise ValueError(f"image_size: expected 32 or more, got {self.image_size}")

    @property
    def feature_size(self) -> int:
        """Length of a feature vector: of the last maps, then of the maps before the last block."""
        return sum(self.groups().values())

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return 3, self.image_size, self.image_size

    def stem(self) -> NormalisedConvolution:
        """The first convolution, which halves height and width."""
        return NormalisedConvolution("stem", 3, STEM, "stored", stride=2, epsilon=EPSILON)

    def blocks(self) -> tuple[InvertedResidual, ...]:
        """The blocks from the stem on, called `block1` and so on."""
        return _blocks(self.variant)

    def last(self) -> NormalisedConvolution:
        """The 1x1 convolution behind the blocks."""
        inputs = self.blocks()[-1].project.outputs
        return NormalisedConvolution("last", inputs, LAST, "stored", size=1, epsilon=EPSILON)

    def groups(self) -> dict[str, int]:
        """The numbers of features of each kind, by the names that their metrics begin with."""
        return {"metric.last": LAST, "metric.before": 2 * self.blocks()[-2].project.outputs}

    def initialize(self, generator: torch.Generator) -> Params:
        """Draw fresh parameters, with a metric that changes nothing.

        Published weights are read by `networks.published`.
        """
        params: dict[str, torch.Tensor] = {}
        for part in self._convolutions():
            for convolution in part:
                params |= convolution.initialize(generator)
        for name, size in self.groups().items():
            params[f"{name}.centre"] = torch.zeros(size)
            params[f"{name}.weight"] = torch.eye(size)
            params[f"{name}.share"] = torch.ones(())
        return params

    def fixed(self) -> frozenset[str]:
        """Names of the stored statistics."""
        return frozenset().union(*(c.fixed() for part in self._convolutions() for c in part))

    @functools.cached_property
    def parts(self) -> tuple[frozenset[str], ...]:
        """The names of the tensors of the stem, each block but the last, the top, and the metric.

        The top is the last block with the convolution behind it. It ends in `(batch, features)`
        means and deviations, from which the metric makes the features.
        """
        kinds = ("centre", "weight", "share")
        metric = frozenset(f"{name}.{kind}" for name in self.groups() for kind in kinds)
        convolutions = self._convolutions()
        return (*(frozenset().union(*(c.names() for c in part)) for part in convolutions), metric)

    def features(self, params: Params, images: torch.Tensor) -> torch.Tensor:
        """`(batch, 3, height, width)` to `(batch, feature_size)`, row by row."""
        return self.through(params, images, 0, len(self.parts))

    def through(self, params: Params, hidden: torch.Tensor, first: int, stop: int) -> torch.Tensor:
        """Run the parts ``first`` to ``stop - 1``, see `parts`."""

        def convolve(convolution: NormalisedConvolution, maps: torch.Tensor) -> torch.Tensor:
            return convolution(params, maps)

        return self._run(convolve, params, hidden, range(first, stop))

    def features_in_pretraining(
        self, params: Params, images: torch.Tensor, _generator: torch.Generator
    ) -> tuple[torch.Tensor, Params]:
        """As `features`, with batch statistics; the stored ones move towards them."""
        convolve, updated = by_batch(params)
        return self._run(convolve, params, images, range(len(self.parts))), updated

    def _run(
        self, convolve: Convolve, params: Params, hidden: torch.Tensor, parts: range
    ) -> torch.Tensor:
        *blocks, last_block = self.blocks()
        for part in parts:
            if part == 0:
                hidden = functional.relu6(convolve(self.stem(), hidden))
            elif part <= len(blocks):
                hidden = blocks[part - 1](convolve, hidden)
            elif part == len(blocks) + 1:
                top = functional.relu6(convolve(self.last(), last_block(convolve, hidden)))
                hidden = torch.cat([top.mean((2, 3)), _means_and_deviations(hidden)], 1)
            else:
                hidden = self._in_metric(params, hidden)
        return hidden

    def rooted(self, pooled: torch.Tensor) -> dict[str, torch.Tensor]:
        """`(batch, size)` signed roots of each of the `groups`, from what the top makes."""
        groups = self.groups()
        split = torch.split(_signed_root(pooled), list(groups.values()), 1)
        return dict(zip(groups, split, strict=True))

    def _in_metric(self, params: Params, pooled: torch.Tensor) -> torch.Tensor:
        features = [
            params[f"{name}.share"]
            * functional.normalize(
                (values - params[f"{name}.centre"]) @ params[f"{name}.weight"], dim=1
            )
            for name, values in self.rooted(pooled).items()
        ]
        return torch.cat(features, 1)

    def _convolutions(self) -> tuple[tuple[NormalisedConvolution, ...], ...]:
        *blocks, last_block = (block.convolutions() for block in self.blocks())
        return ((self.stem(),), *blocks, (*last_block, self.last()))


def _means_and_deviations(maps: torch.Tensor) -> torch.Tensor:
    """`(batch, channel, height, width)` to `(batch, 2 * channel)`."""
    variance = maps.var((2, 3), correction=0)
    return torch.cat([maps.mean((2, 3)), (variance + TINY).sqrt()], 1)


def _signed_root(values: torch.Tensor) -> torch.Tensor:
    return values.sign() * ((values.abs() + TINY).sqrt() - math.sqrt(TINY))


@functools.cache
def _blocks(variant: Variant) -> tuple[InvertedResidual, ...]:
    """Made once: every call of a network asks for them."""
    width, depth, _ = SCALES[variant]
    blocks: list[InvertedResidual] = []
    inputs = STEM
    for stage, (repeats, size, stride, expansion, channels) in enumerate(STAGES):
        scaled = stage not in (0, len(STAGES) - 1)
        outputs = _rounded(channels * width)
        for repeat in range(math.ceil(repeats * depth) if scaled else repeats):
            name = f"block{len(blocks) + 1}"
            first = repeat == 0
            blocks.append(_block(name, inputs, outputs, size, stride if first else 1, expansion))
            inputs = outputs
    return tuple(blocks)


def _block(
    name: str, inputs: int, outputs: int, size: int, stride: int, expansion: int
) -> InvertedResidual:
    wide = inputs * expansion
    expand = NormalisedConvolution(
        f"{name}.expand", inputs, wide, "stored", size=1, epsilon=EPSILON
    )
    depthwise = NormalisedConvolution(
        f"{name}.depthwise", wide, wide, "stored", size, stride, groups=wide, epsilon=EPSILON
    )
    project = NormalisedConvolution(
        f"{name}.project", wide, outputs, "stored", size=1, epsilon=EPSILON
    )
    return InvertedResidual(None if expansion == 1 else expand, depthwise, project)


def _rounded(channels: float) -> int:
    """The nearest multiple of 8 that is at least 0.9 times as much."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
