"""MobileNetV3, large and small, backbones for photographs, as torchvision and timm publish them.

(Howard et al., ICCV 2019, tables 1 and 2.) Inverted residual blocks, some with squeeze and
excitation, of ReLU at first and of hard swish later on. What stands behind the pooled maps, a
hidden layer and the classifier, is not a part of it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch.nn import functional

from .backbone import Activated, Backbone, Layer, check_image_size
from .convolution import NormalisedConvolution
from .inverted_residual import InvertedResidual, inverted_residual, rounded

Variant = Literal["large", "small"]


class Row(NamedTuple):
    """A block of the tables: as they say it, with whether it excites and is of hard swish."""

    size: int
    wide: int
    outputs: int
    excites: bool
    swish: bool
    stride: int


BLOCKS: dict[Variant, tuple[Row, ...]] = {
    "large": (
        Row(3, 16, 16, False, False, 1),
        Row(3, 64, 24, False, False, 2),
        Row(3, 72, 24, False, False, 1),
        Row(5, 72, 40, True, False, 2),
        Row(5, 120, 40, True, False, 1),
        Row(5, 120, 40, True, False, 1),
        Row(3, 240, 80, False, True, 2),
        Row(3, 200, 80, False, True, 1),
        Row(3, 184, 80, False, True, 1),
        Row(3, 184, 80, False, True, 1),
        Row(3, 480, 112, True, True, 1),
        Row(3, 672, 112, True, True, 1),
        Row(5, 672, 160, True, True, 2),
        Row(5, 960, 160, True, True, 1),
        Row(5, 960, 160, True, True, 1),
    ),
    "small": (
        Row(3, 16, 16, True, False, 2),
        Row(3, 72, 24, False, False, 2),
        Row(3, 88, 24, False, False, 1),
        Row(5, 96, 40, True, True, 2),
        Row(5, 240, 40, True, True, 1),
        Row(5, 240, 40, True, True, 1),
        Row(5, 120, 48, True, True, 1),
        Row(5, 144, 48, True, True, 1),
        Row(5, 288, 96, True, True, 2),
        Row(5, 576, 96, True, True, 1),
        Row(5, 576, 96, True, True, 1),
    ),
}
STEM, LAST = 16, 6
"""Channels of the stem, and those of the last maps as a multiple of the last block's."""
SQUEEZE = 4
"""How many times fewer channels the means are squeezed to."""


@dataclass(frozen=True)
class MobileNetV3(Backbone):
    """MobileNetV3 over colour images of side ``image_size``, 32 or more.

    ``epsilon`` is that of its normalisation: 1e-3 in torchvision, 1e-5 in timm.
    """

    variant: Variant = "large"
    image_size: int = 224
    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        """Raise ValueError for a variant that there is not, or too small an image."""
        if self.variant not in BLOCKS:
            raise ValueError(f"variant: expected one of {', '.join(BLOCKS)}, got {self.variant}")
        check_image_size(self.image_size)

    def trunk(self) -> tuple[Layer, ...]:
        """The stem, the blocks, and the convolution behind them."""
        swish = functional.hardswish
        return (Activated(self.stem(), swish), *self.blocks(), Activated(self.last(), swish))

    def stem(self) -> NormalisedConvolution:
        """The first convolution, which halves height and width."""
        return self._convolution("stem", 3, STEM, stride=2)

    def blocks(self) -> tuple[InvertedResidual, ...]:
        """The blocks from the stem on, called `block1` and so on."""
        blocks, inputs = [], STEM
        for number, row in enumerate(BLOCKS[self.variant], start=1):
            block = inverted_residual(
                self._convolution,
                f"block{number}",
                (inputs, row.wide, row.outputs),
                row.size,
                row.stride,
                functional.hardswish if row.swish else functional.relu,
                rounded(row.wide // SQUEEZE) if row.excites else None,
            )
            blocks.append(block)
            inputs = row.outputs
        return tuple(blocks)

    def last(self) -> NormalisedConvolution:
        """The 1x1 convolution behind the blocks."""
        inputs = BLOCKS[self.variant][-1].outputs
        return self._convolution("last", inputs, LAST * inputs, size=1)

    @property
    def _convolution(self) -> functools.partial[NormalisedConvolution]:
        return functools.partial(
            NormalisedConvolution, norm="stored", epsilon=self.epsilon, symmetric=True
        )
