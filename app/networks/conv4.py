"""Conv4, the four-block network of the few-shot literature (Vinyals et al., NeurIPS 2016).

Each block is a 3x3 convolution, a normalisation, a ReLU and a 2x2 max-pooling. The pooling
comes before the ReLU here, which gives the same numbers (both are monotonic) on a quarter of
the elements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

from ..meta.params import Params

BLOCKS = 4
EPSILON = 1e-5
GROUPS = 8
MOMENTUM = 0.05
"""Share of each batch in the stored statistics while they are learned."""


@dataclass(frozen=True)
class Conv4:
    """Four blocks of ``channels`` filters over square images of side ``image_size``.

    ``norm`` is "stored" for batch normalisation whose statistics pre-training learns and the
    initialization keeps (no image ever depends on another one), or "group" for normalisation
    within each image (Wu and He, ECCV 2018), which needs no pre-training.
    """

    channels: int = 64
    image_channels: int = 1
    image_size: int = 28
    norm: Literal["stored", "group"] = "stored"

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
        """Draw convolutions after He et al. (ICCV 2015); norms start as the identity."""
        params: dict[str, torch.Tensor] = {}
        inputs = self.image_channels
        for block in _blocks():
            params[f"{block}.weight"] = torch.randn(
                (self.channels, inputs, 3, 3), generator=generator
            ) * math.sqrt(2 / (inputs * 9))
            params[f"{block}.gain"] = torch.ones(self.channels)
            params[f"{block}.bias"] = torch.zeros(self.channels)
            if self.norm == "stored":
                params[f"{block}.mean"] = torch.zeros(self.channels)
                params[f"{block}.variance"] = torch.ones(self.channels)
            inputs = self.channels
        return params

    def fixed(self) -> frozenset[str]:
        """Names of the stored statistics."""
        if self.norm != "stored":
            return frozenset()
        return frozenset(f"{block}.{kind}" for block in _blocks() for kind in ("mean", "variance"))

    def features(self, params: Params, images: torch.Tensor) -> torch.Tensor:
        """`(batch, channel, height, width)` to `(batch, feature_size)`, row by row."""
        hidden = images
        for block in _blocks():
            hidden = _activate(self._normalised_convolution(params, block, hidden))
        return hidden.flatten(1)

    def features_while_learning_statistics(
        self, params: Params, images: torch.Tensor
    ) -> tuple[torch.Tensor, Params]:
        """As `features`, normalised by the batch, with the stored statistics moved towards it.

        For pre-training alone: here rows do depend on each other.
        """
        hidden = images
        moved: dict[str, torch.Tensor] = {}
        for block in _blocks():
            mean, variance = params[f"{block}.mean"].clone(), params[f"{block}.variance"].clone()
            hidden = functional.batch_norm(
                functional.conv2d(hidden, params[f"{block}.weight"], padding=1),
                mean,
                variance,
                params[f"{block}.gain"],
                params[f"{block}.bias"],
                training=True,
                momentum=MOMENTUM,
                eps=EPSILON,
            )
            hidden = _activate(hidden)
            moved |= {f"{block}.mean": mean, f"{block}.variance": variance}
        return hidden.flatten(1), moved

    def _normalised_convolution(
        self, params: Params, block: str, images: torch.Tensor
    ) -> torch.Tensor:
        weight, gain, bias = (params[f"{block}.{kind}"] for kind in ("weight", "gain", "bias"))
        if self.norm == "group":
            hidden = functional.conv2d(images, weight, padding=1)
            return functional.group_norm(hidden, GROUPS, gain, bias, EPSILON)
        # Stored statistics make normalisation affine: it folds into the convolution.
        scale = gain * torch.rsqrt(params[f"{block}.variance"] + EPSILON)
        return functional.conv2d(
            images,
            weight * scale.reshape(-1, 1, 1, 1),
            bias - params[f"{block}.mean"] * scale,
            padding=1,
        )


def _activate(hidden: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(hidden, 2).relu()


def _blocks() -> tuple[str, ...]:
    return tuple(f"block{number}" for number in range(1, BLOCKS + 1))
