"""A convolution and the normalisation behind it, the building block of image networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

from ..meta.params import Params

Norm = Literal["stored", "group", "layer"]
"""How activations are normalised, without any image ever depending on another one.

"stored" is batch normalisation with statistics that pre-training learns and the initialization
keeps; "group" (Wu and He, ECCV 2018) and "layer" (its case of one group, Ba et al., 2016)
normalise within each image and need no pre-training.
"""

EPSILON = 1e-5
GROUPS = 8
MOMENTUM = 0.05
"""Share of each batch in the stored statistics while they are learned."""


@dataclass(frozen=True)
class NormalisedConvolution:
    """A square convolution that divides height and width by ``stride``, then a normalisation.

    Its tensors are called ``name`` with `.weight` `(outputs, inputs / groups, size, size)`, `.gain`
    and `.bias` `(outputs,)`, and with stored statistics `.mean` and `.variance` `(outputs,)`. Where
    ``norm`` is None it only adds a bias, and has no gain. With a stride it pads as TensorFlow does,
    or alike on every side where ``symmetric``, as torch does.
    """

    name: str
    inputs: int
    outputs: int
    norm: Norm | None
    size: int = 3
    stride: int = 1
    groups: int = 1
    epsilon: float = EPSILON
    symmetric: bool = False

    def initialize(self, generator: torch.Generator) -> Params:
        """Draw the convolution after He et al. (ICCV 2015); the norm starts as the identity."""
        inputs = self.inputs // self.groups
        deviation = math.sqrt(2 / (inputs * self.size**2))
        shape = (self.outputs, inputs, self.size, self.size)
        params = {f"{self.name}.weight": torch.randn(shape, generator=generator) * deviation}
        if self.norm is not None:
            params[f"{self.name}.gain"] = torch.ones(self.outputs)
        params[f"{self.name}.bias"] = torch.zeros(self.outputs)
        if self.norm == "stored":
            params[f"{self.name}.mean"] = torch.zeros(self.outputs)
            params[f"{self.name}.variance"] = torch.ones(self.outputs)
        return params

    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        kinds = ("weight", "bias") if self.norm is None else ("weight", "gain", "bias")
        return self.fixed() | {f"{self.name}.{kind}" for kind in kinds}

    def fixed(self) -> frozenset[str]:
        """Names of the stored statistics."""
        kinds = ("mean", "variance") if self.norm == "stored" else ()
        return frozenset(f"{self.name}.{kind}" for kind in kinds)

    def __call__(self, params: Params, images: torch.Tensor) -> torch.Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height, width)`, row by row."""
        if self.norm is None:
            return self._convolve(images, *self._of(params, "weight", "bias"))
        weight, gain, bias = self._of(params, "weight", "gain", "bias")
        if self.norm != "stored":
            groups = GROUPS if self.norm == "group" else 1
            return functional.group_norm(self._convolve(images, weight), groups, gain, bias)
        # Affine either way: whichever of the maps and the weight has fewer numbers is scaled.
        # An export is of any number of images, and its runtime scales the weight once.
        n_pixels = images.shape[0] * images.shape[2] * images.shape[3]
        if not torch.compiler.is_exporting() and n_pixels < weight[0].numel():
            scale, shift = (tensor.reshape(-1, 1, 1) for tensor in self._affine(params))
            return self._convolve(images, weight) * scale + shift
        return self._convolve(images, *self.folded(params))

    def folded(self, params: Params) -> tuple[torch.Tensor, torch.Tensor]:
        """The weight and bias of the one convolution that stored statistics make of both.

        They make normalisation affine, so that it folds into the convolution before it.
        """
        scale, shift = self._affine(params)
        return params[f"{self.name}.weight"] * scale.reshape(-1, 1, 1, 1), shift

    def while_learning_statistics(
        self, params: Params, images: torch.Tensor
    ) -> tuple[torch.Tensor, Params]:
        """As the call, normalised by the batch, and the stored statistics moved towards it."""
        if self.norm != "stored":
            return self(params, images), {}
        weight, gain, bias = self._of(params, "weight", "gain", "bias")
        mean, variance = (tensor.clone() for tensor in self._of(params, "mean", "variance"))
        normalised = functional.batch_norm(
            self._convolve(images, weight),
            mean,
            variance,
            gain,
            bias,
            training=True,
            momentum=MOMENTUM,
            eps=self.epsilon,
        )
        return normalised, {f"{self.name}.mean": mean, f"{self.name}.variance": variance}

    def _affine(self, params: Params) -> tuple[torch.Tensor, torch.Tensor]:
        """The `(outputs,)` scale and shift that stored statistics make of the norm."""
        gain, bias, mean, variance = self._of(params, "gain", "bias", "mean", "variance")
        scale = gain * torch.rsqrt(variance + self.epsilon)
        return scale, bias - mean * scale

    def _convolve(
        self, images: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        if self.stride == 1 or self.symmetric:
            padding = self.size // 2
        else:
            images, padding = functional.pad(images, self._edges(images)), 0
        return functional.conv2d(images, weight, bias, self.stride, padding, groups=self.groups)

    def _edges(self, images: torch.Tensor) -> list[int]:
        """Left, right, top and bottom padding: what is odd is on the right and at the bottom."""
        edges = []
        for length in (images.shape[3], images.shape[2]):
            outputs = -(-length // self.stride)
            total = max(0, (outputs - 1) * self.stride + self.size - length)
            edges += [total // 2, total - total // 2]
        return edges

    def _of(self, params: Params, *kinds: str) -> tuple[torch.Tensor, ...]:
        return tuple(params[f"{self.name}.{kind}"] for kind in kinds)


Convolve = Callable[[NormalisedConvolution, torch.Tensor], torch.Tensor]
"""How a network runs its convolutions: `(batch, inputs, ...)` maps to `(batch, outputs, ...)`."""


def by_batch(params: Params) -> tuple[Convolve, dict[str, torch.Tensor]]:
    """Convolutions normalised by their batch, and the stored statistics as running moves them."""
    updated: dict[str, torch.Tensor] = {}

    def convolve(convolution: NormalisedConvolution, maps: torch.Tensor) -> torch.Tensor:
        outputs, statistics = convolution.while_learning_statistics(params, maps)
        updated.update(statistics)
        return outputs

    return convolve, updated
