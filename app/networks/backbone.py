"""What backbones for photographs share: a trunk of layers in a row, pooled, and a metric behind it.

Features are more than the means of the last maps, which forget what tells far domains apart (cells,
hand signs): beside these stand means and deviations of the maps that the trunk's last layer takes.
`networks.metric` makes features of both.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from ..meta.params import Params
from .convolution import Convolve, NormalisedConvolution, by_batch
from .metric import Metric, means_and_deviations

Activation = Callable[[torch.Tensor], torch.Tensor]
LEAST_SIDE = 32
"""Of images: trunks divide height and width by as much."""


class Layer(Protocol):
    """A piece of a trunk, from maps to maps."""

    def convolutions(self) -> tuple[NormalisedConvolution, ...]:
        """All that have tensors; the last of them makes the maps that come out."""
        ...

    def __call__(self, convolve: Convolve, hidden: torch.Tensor, /) -> torch.Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height, width)`, row by row."""
        ...


@dataclass(frozen=True)
class Activated:
    """A convolution with an activation behind it."""

    convolution: NormalisedConvolution
    activation: Activation

    def convolutions(self) -> tuple[NormalisedConvolution, ...]:
        """The convolution."""
        return (self.convolution,)

    def __call__(self, convolve: Convolve, hidden: torch.Tensor) -> torch.Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height / stride, ...)`."""
        return self.activation(convolve(self.convolution, hidden))


@dataclass(frozen=True)
class InARow:
    """Several layers as one."""

    layers: tuple[Layer, ...]

    def convolutions(self) -> tuple[NormalisedConvolution, ...]:
        """Those of all layers in their order."""
        return tuple(each for layer in self.layers for each in layer.convolutions())

    def __call__(self, convolve: Convolve, hidden: torch.Tensor) -> torch.Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height, width)`."""
        for layer in self.layers:
            hidden = layer(convolve, hidden)
        return hidden


class Backbone(ABC):
    """A network over colour images of side ``image_size``; a subclass says what its trunk is."""

    image_size: int

    @abstractmethod
    def trunk(self) -> tuple[Layer, ...]:
        """Two layers or more in a row, from images on. Each is a part of the network."""

    @property
    def feature_size(self) -> int:
        """Length of a feature vector: of the last maps, then of the maps before the last layer."""
        return self.metric.size

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return 3, self.image_size, self.image_size

    @functools.cached_property
    def metric(self) -> Metric:
        """The metric of the means of the last maps, and of what the maps before them tell."""
        before, last = (layer.convolutions()[-1].outputs for layer in self._layers[-2:])
        return Metric({"metric.last": last, "metric.before": 2 * before})

    def initialize(self, generator: torch.Generator) -> Params:
        """Draw fresh parameters, with a metric that changes nothing.

        Published weights are read by `networks.published`.
        """
        params: dict[str, torch.Tensor] = {}
        for layer in self._layers:
            for convolution in layer.convolutions():
                params |= convolution.initialize(generator)
        return {**params, **self.metric.initialize()}

    def fixed(self) -> frozenset[str]:
        """Names of the stored statistics."""
        return frozenset().union(*(c.fixed() for la in self._layers for c in la.convolutions()))

    @functools.cached_property
    def parts(self) -> tuple[frozenset[str], ...]:
        """The names of the tensors of each layer of the trunk, then those of the metric.

        The last layer ends in `(batch, features)` means and deviations, from which the metric makes
        the features.
        """
        layers = (layer.convolutions() for layer in self._layers)
        trunk = (frozenset().union(*(c.names() for c in convolutions)) for convolutions in layers)
        return (*trunk, self.metric.names())

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

    @functools.cached_property
    def _layers(self) -> tuple[Layer, ...]:
        """Made once: every call of the network asks for them."""
        return self.trunk()

    def _run(
        self, convolve: Convolve, params: Params, hidden: torch.Tensor, parts: range
    ) -> torch.Tensor:
        layers = self._layers
        for part in parts:
            if part < len(layers) - 1:
                hidden = layers[part](convolve, hidden)
            elif part == len(layers) - 1:
                last = layers[part](convolve, hidden)
                hidden = torch.cat([last.mean((2, 3)), means_and_deviations(hidden)], 1)
            else:
                hidden = self.metric(params, hidden)
        return hidden


def check_image_size(image_size: int) -> None:
    """Raise ValueError for images that are too small for a trunk."""
    if image_size < LEAST_SIDE:
        raise ValueError(f"image_size: expected {LEAST_SIDE} or more, got {image_size}")
