"""What meta-learning asks of a network, whatever its architecture."""

from __future__ import annotations

from typing import Protocol

import torch

from .params import Params


class Network(Protocol):
    """A pure function from parameters and images to feature vectors, made of parts in a row."""

    @property
    def feature_size(self) -> int:
        """Length of a feature vector."""
        ...

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        ...

    def initialize(self, generator: torch.Generator) -> Params:
        """Draw fresh parameters."""
        ...

    def fixed(self) -> frozenset[str]:
        """Names of tensors that no gradient step may touch, such as stored statistics."""
        ...

    def features(self, params: Params, images: torch.Tensor) -> torch.Tensor:
        """`(batch, channel, height, width)` images to `(batch, feature_size)` features.

        A row depends on its own image alone.
        """
        ...

    @property
    def parts(self) -> tuple[frozenset[str], ...]:
        """The names of each part's tensors, from the images on."""
        ...

    def through(
        self, params: Params, hidden: torch.Tensor, first: int, stop: int, /
    ) -> torch.Tensor:
        """Run the parts ``first`` to ``stop - 1``: from images at 0, to features at the last."""
        ...

    def features_in_pretraining(
        self, params: Params, images: torch.Tensor, generator: torch.Generator, /
    ) -> tuple[torch.Tensor, Params]:
        """`features` of a training batch, and the updated `fixed` statistics.

        Rows may depend on each other here (batch statistics) and on ``generator`` (dropout).
        """
        ...
