"""What backbones for photographs share: a trunk of layers in a row, pooled, and a metric behind it.

Features are more than the means of the last maps, which forget what tells far domains apart (cells,
hand signs): beside these stand means and deviations of the maps in which stages of the trunk end.
`networks.metric` makes features of both.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch

from ..meta.params import Params
from .convolution import Convolve, NormalisedConvolution, by_batch
from .metric import Metric, means_and_deviations

Activation = Callable[[torch.Tensor], torch.Tensor]
LEAST_SIDE = 32
"""Of images: trunks divide height and width by as much."""
BESIDE = 4
"""How many stages, the last ones, are pooled beside the last maps."""


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


class Backbone(ABC):
    """A network over colour images of side ``image_size``; a subclass says what its trunk is."""

    image_size: int

    @abstractmethod
    def trunk(self) -> tuple[Layer, ...]:
        """Two layers or more in a row, from images on."""

    @property
    def feature_size(self) -> int:
        """Length of a feature vector: of the last maps, then of the maps before."""
        return self.metric.size

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return 3, self.image_size, self.image_size

    @functools.cached_property
    def metric(self) -> Metric:
        """The metric of the means of the last maps, and of what the maps before them tell."""
        outputs = [layer.convolutions()[-1].outputs for layer in self._layers]
        return Metric(outputs[-1], 2 * sum(outputs[place] for place in self._ends_of_stages))

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
        """The names of the tensors of the trunk's layers, then of its top, then of the metric.

        Up to the first stage whose end is pooled each layer is a part. The layers from there on are
        one part, the top, which ends in `(batch, feature_size)` means and deviations.
        """
        names = [
            frozenset().union(*(c.names() for c in layer.convolutions())) for layer in self._layers
        ]
        until = self._until_top
        return (*names[:until], frozenset().union(*names[until:]), self.metric.names())

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

    @functools.cached_property
    def _ends_of_stages(self) -> tuple[int, ...]:
        """Places of the layers that are pooled: behind each, the number of maps changes."""
        outputs = [layer.convolutions()[-1].outputs for layer in self._layers]
        ends = [place for place, (own, then) in enumerate(pairwise(outputs)) if own != then]
        return tuple(ends[-BESIDE:])

    @property
    def _until_top(self) -> int:
        """How many layers lie before the top."""
        return self._ends_of_stages[0] + 1

    def _run(
        self, convolve: Convolve, params: Params, hidden: torch.Tensor, parts: range
    ) -> torch.Tensor:
        for part in parts:
            if part < self._until_top:
                hidden = self._layers[part](convolve, hidden)
            elif part == self._until_top:
                hidden = self._pooled(convolve, hidden)
            else:
                hidden = self.metric(params, hidden)
        return hidden

    def _pooled(self, convolve: Convolve, hidden: torch.Tensor) -> torch.Tensor:
        """The end of the first pooled stage, through the top, to `(batch, feature_size)`."""
        before = [means_and_deviations(hidden)]
        for place in range(self._until_top, len(self._layers)):
            hidden = self._layers[place](convolve, hidden)
            if place in self._ends_of_stages:
                before.append(means_and_deviations(hidden))
        return torch.cat([hidden.mean((2, 3)), *before], 1)


def check_image_size(image_size: int) -> None:
    """Raise ValueError for images that are too small for a trunk."""
    if image_size < LEAST_SIDE:
        raise ValueError(f"image_size: expected {LEAST_SIDE} or more, got {image_size}")
