"""What meta-learning asks of a network, whatever its architecture."""

from __future__ import annotations

from typing import Protocol

import torch

from .params import Params


class Network(Protocol):
    """A pure function from parameters and images to feature vectors."""

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

    def features_in_pretraining(
        self, params: Params, images: torch.Tensor, generator: torch.Generator, /
    ) -> tuple[torch.Tensor, Params]:
        """`features` of a training batch, and the moved `fixed` statistics.

        Rows may depend on each other here (batch statistics) and on ``generator`` (dropout).
        """
        ...
