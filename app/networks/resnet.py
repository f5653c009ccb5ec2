"""ResNet-18 and ResNet-50, backbones for photographs, as torchvision and timm publish them.

(He et al., CVPR 2016, table 1; in a bottleneck the 3x3 convolution has the stride.) The maps that
the features take beside the last ones are those before the last stage: of the last stage's own,
2048 wide in ResNet-50, a metric would take more memory than the network.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

from .backbone import Backbone, Layer, check_image_size
from .convolution import Convolve, NormalisedConvolution

Depth = Literal[18, 50]

STAGES: dict[Depth, tuple[int, ...]] = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
"""Blocks of each stage."""
STEM = 64
WIDTHS = (64, 128, 256, 512)
"""Channels of each stage; the outputs of bottlenecks are four times as wide."""

_convolution = functools.partial(NormalisedConvolution, norm="stored", symmetric=True)


@dataclass(frozen=True)
class Stem:
    """A 7x7 convolution and a 3x3 max-pooling, each of which halves height and width."""

    convolution: NormalisedConvolution

    def convolutions(self) -> tuple[NormalisedConvolution, ...]:
        """The convolution."""
        return (self.convolution,)

    def __call__(self, convolve: Convolve, hidden: torch.Tensor) -> torch.Tensor:
        """`(batch, 3, height, width)` to `(batch, outputs, height / 4, width / 4)`."""
        return functional.max_pool2d(functional.relu(convolve(self.convolution, hidden)), 3, 2, 1)


@dataclass(frozen=True)
class ResidualBlock:
    """Convolutions in a row: two of 3x3, or 1x1, 3x3 and 1x1 in a bottleneck.

    ``shortcut`` is the 1x1 convolution beside them, None where the inputs themselves are added.
    """

    inner: tuple[NormalisedConvolution, ...]
    shortcut: NormalisedConvolution | None

    def convolutions(self) -> tuple[NormalisedConvolution, ...]:
        """The shortcut, and the convolutions in their order."""
        return self.inner if self.shortcut is None else (self.shortcut, *self.inner)

    def __call__(self, convolve: Convolve, hidden: torch.Tensor) -> torch.Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height / stride, ...)`."""
        *before, final = self.inner
        inner = hidden
        for convolution in before:
            inner = functional.relu(convolve(convolution, inner))
        beside = hidden if self.shortcut is None else convolve(self.shortcut, hidden)
        return functional.relu(convolve(final, inner) + beside)


@dataclass(frozen=True)
class ResNet(Backbone):
    """ResNet-18 or 50 over colour images of side ``image_size``, 32 or more."""

    depth: Depth = 18
    image_size: int = 224

    def __post_init__(self) -> None:
        """Raise ValueError for a depth that there is not, or too small an image."""
        if self.depth not in STAGES:
            raise ValueError(f"depth: expected one of {sorted(STAGES)}, got {self.depth}")
        check_image_size(self.image_size)

    def trunk(self) -> tuple[Layer, ...]:
        """The stem and the blocks of all stages."""
        return (Stem(self.stem()), *(block for stage in self.stages() for block in stage))

    def stem(self) -> NormalisedConvolution:
        """The first convolution."""
        return _convolution("stem", 3, STEM, size=7, stride=2)

    def stages(self) -> tuple[tuple[ResidualBlock, ...], ...]:
        """The blocks from the stem on, called `stage1.block1` and so on."""
        stages, inputs = [], STEM
        for number, (blocks, width) in enumerate(
            zip(STAGES[self.depth], WIDTHS, strict=True), start=1
        ):
            stage = []
            for position in range(1, blocks + 1):
                stride = 2 if position == 1 and number > 1 else 1
                block = self._block(f"stage{number}.block{position}", inputs, width, stride)
                stage.append(block)
                inputs = block.inner[-1].outputs
            stages.append(tuple(stage))
        return tuple(stages)

    def _block(self, name: str, inputs: int, width: int, stride: int) -> ResidualBlock:
        names = [f"{name}.convolution{number}" for number in (1, 2, 3)]
        inner: tuple[NormalisedConvolution, ...]
        if self.depth == 18:
            outputs = width
            inner = (
                _convolution(names[0], inputs, width, stride=stride),
                _convolution(names[1], width, width),
            )
        else:
            outputs = 4 * width
            inner = (
                _convolution(names[0], inputs, width, size=1),
                _convolution(names[1], width, width, stride=stride),
                _convolution(names[2], width, outputs, size=1),
            )
        shortcut = _convolution(f"{name}.shortcut", inputs, outputs, size=1, stride=stride)
        return ResidualBlock(inner, None if inputs == outputs and stride == 1 else shortcut)
