"""Conv4, the four-block network of the few-shot literature (Vinyals et al., NeurIPS 2016).

Each block is a 3x3 convolution, a normalisation, a ReLU and a 2x2 max-pooling. The pooling
comes before the ReLU here, which gives the same numbers (both are monotonic) on a quarter of
the elements.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ..meta.params import Params
from .convolution import Norm, NormalisedConvolution

BLOCKS = 4


@dataclass(frozen=True)
class Conv4:
    """Four blocks of ``channels`` filters over square images of side ``image_size``."""

    channels: int = 64
    image_channels: int = 1
    image_size: int = 28
    norm: Norm = "stored"

    @property
    def feature_size(self) -> int:
        """Length of a feature vector: 64 for 28x28 images and 64 channels."""
        side = self.image_size >> BLOCKS
        return self.channels * side * side

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self.image_channels, self.image_size, self.image_size

    def initialize(self, generator: torch.Generator) -> Params:
        """Draw fresh parameters."""
        params: dict[str, torch.Tensor] = {}
        for convolution in self.convolutions():
            params |= convolution.initialize(generator)
        return params

    def fixed(self) -> frozenset[str]:
        """Names of the stored statistics."""
        return frozenset().union(*(convolution.fixed() for convolution in self.convolutions()))

    def features(self, params: Params, images: torch.Tensor) -> torch.Tensor:
        """`(batch, channel, height, width)` to `(batch, feature_size)`, row by row."""
        return self.through(params, images, 0, BLOCKS)

    @property
    def parts(self) -> tuple[frozenset[str], ...]:
        """The names of each block's tensors."""
        return tuple(convolution.names() for convolution in self.convolutions())

    def through(self, params: Params, hidden: torch.Tensor, first: int, stop: int) -> torch.Tensor:
        """Run the blocks ``first`` to ``stop - 1``, and flatten behind the last one."""
        for convolution in self.convolutions()[first:stop]:
            hidden = _activate(convolution(params, hidden))
        return hidden.flatten(1) if stop == BLOCKS else hidden

    def features_in_pretraining(
        self, params: Params, images: torch.Tensor, _generator: torch.Generator
    ) -> tuple[torch.Tensor, Params]:
        """As `features`, normalised by the batch, with the stored statistics moved towards it.

        Here rows do depend on each other. Nothing is drawn.
        """
        hidden = images
        moved: dict[str, torch.Tensor] = {}
        for convolution in self.convolutions():
            hidden, statistics = convolution.while_learning_statistics(params, hidden)
            hidden = _activate(hidden)
            moved |= statistics
        return hidden.flatten(1), moved

    def convolutions(self) -> tuple[NormalisedConvolution, ...]:
        """The convolution of each block."""
        inputs = (self.image_channels, *(BLOCKS - 1) * (self.channels,))
        return tuple(
            NormalisedConvolution(f"block{number}", channels, self.channels, self.norm)
            for number, channels in enumerate(inputs, start=1)
        )


def _activate(hidden: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(hidden, 2).relu()
