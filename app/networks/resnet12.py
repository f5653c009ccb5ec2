"""ResNet-12 as few-shot papers use it: 64-160-320-640 filters, DropBlock, 640 features.

(TADAM, Oreshkin et al., NeurIPS 2018, in the widths of MetaOptNet, Lee et al., CVPR 2019.)
Four residual blocks of three 3x3 convolutions, a 1x1 convolution beside them, leaky ReLUs and a
2x2 max-pooling; at the end the mean over the image. DropBlock (Ghiasi et al., NeurIPS 2018)
belongs to pre-training alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ..meta.params import Params
from .convolution import Convolve, Norm, NormalisedConvolution, by_batch

WIDTHS = (1, 2.5, 5, 10)
"""Filters of the four blocks, as multiples of the first one's."""
LEAK = 0.1


@dataclass(frozen=True)
class ResNet12:
    """ResNet-12 over square images of side ``image_size``, 16 or more.

    ``channels`` are the filters of the first block, an even number: 64 in the literature.
    ``drop_rate`` is the share of activations that DropBlock zeroes behind each block in
    pre-training; its squares are ``drop_size`` wide, or as wide as the image where that is less.
    """

    image_channels: int = 3
    image_size: int = 84
    norm: Norm = "stored"
    drop_rate: float = 0.1
    drop_size: int = 5
    channels: int = 64

    def __post_init__(self) -> None:
        """Raise ValueError for filters that the second block could not have 2.5 times of."""
        if self.channels < 2 or self.channels % 2:
            raise ValueError(f"channels: expected an even number from 2 on, got {self.channels}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters of each block: 64, 160, 320 and 640 for 64 channels."""
        return tuple(int(self.channels * width) for width in WIDTHS)

    @property
    def feature_size(self) -> int:
        """Length of a feature vector: 640 for 64 channels."""
        return self.widths[-1]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self.image_channels, self.image_size, self.image_size

    def initialize(self, generator: torch.Generator) -> Params:
        """Draw fresh parameters."""
        params: dict[str, torch.Tensor] = {}
        for block in self._blocks():
            for convolution in block:
                params |= convolution.initialize(generator)
        return params

    def fixed(self) -> frozenset[str]:
        """Names of the stored statistics."""
        return frozenset().union(*(c.fixed() for block in self._blocks() for c in block))

    def features(self, params: Params, images: torch.Tensor) -> torch.Tensor:
        """`(batch, channel, height, width)` to `(batch, feature_size)`, row by row."""
        return self.through(params, images, 0, len(WIDTHS))

    @property
    def parts(self) -> tuple[frozenset[str], ...]:
        """The names of each block's tensors."""
        return tuple(frozenset().union(*(c.names() for c in block)) for block in self._blocks())

    def through(self, params: Params, hidden: torch.Tensor, first: int, stop: int) -> torch.Tensor:
        """Run the blocks ``first`` to ``stop - 1``, and average each map behind the last one."""
        if first == stop:
            return hidden
        for block in self._blocks()[first:stop]:
            hidden = _through_block(block, hidden, lambda conv, inputs: conv(params, inputs))
        return hidden.mean((2, 3)) if stop == len(WIDTHS) else hidden

    def features_in_pretraining(
        self, params: Params, images: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, Params]:
        """As `features`, with batch statistics and DropBlock; the statistics move towards it."""
        convolve, updated = by_batch(params)
        hidden = images
        for block in self._blocks():
            hidden = _through_block(block, hidden, convolve)
            hidden = drop_block(hidden, self.drop_rate, self.drop_size, generator)
        return hidden.mean((2, 3)), updated

    def _blocks(self) -> tuple[tuple[NormalisedConvolution, ...], ...]:
        blocks = []
        for number, (inputs, width) in enumerate(
            zip((self.image_channels, *self.widths[:-1]), self.widths, strict=True), start=1
        ):
            name = f"block{number}"
            blocks.append(
                (
                    NormalisedConvolution(f"{name}.convolution1", inputs, width, self.norm),
                    NormalisedConvolution(f"{name}.convolution2", width, width, self.norm),
                    NormalisedConvolution(f"{name}.convolution3", width, width, self.norm),
                    NormalisedConvolution(f"{name}.shortcut", inputs, width, self.norm, size=1),
                )
            )
        return tuple(blocks)


def drop_block(
    hidden: torch.Tensor, rate: float, size: int, generator: torch.Generator
) -> torch.Tensor:
    """Zero squares of `(batch, channel, height, width)` and scale up what is left.

    About ``rate`` of each map is zeroed (Ghiasi et al., NeurIPS 2018, algorithm 1 and eq. 1).
    """
    if rate == 0:
        return hidden
    height, width = hidden.shape[2:]
    size = min(size, height, width)
    centres = (height - size + 1) * (width - size + 1)
    gamma = rate * height * width / (size**2 * centres)
    shape = (*hidden.shape[:2], height - size + 1, width - size + 1)
    seeds = (torch.rand(shape, generator=generator) < gamma).to(hidden)
    seeds = functional.pad(seeds, [size - 1] * 4)
    kept = 1 - functional.max_pool2d(seeds, size, stride=1)
    return hidden * kept * (kept.numel() / kept.sum().clamp(min=1))


def _through_block(
    block: tuple[NormalisedConvolution, ...],
    hidden: torch.Tensor,
    convolve: Convolve,
) -> torch.Tensor:
    first, second, third, beside = block
    inner = functional.leaky_relu(convolve(first, hidden), LEAK)
    inner = functional.leaky_relu(convolve(second, inner), LEAK)
    return _activate(convolve(third, inner) + convolve(beside, hidden))


def _activate(hidden: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(functional.max_pool2d(hidden, 2), LEAK)
