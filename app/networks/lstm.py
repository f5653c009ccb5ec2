"""An LSTM that reads an image row by row (Hochreiter and Schmidhuber, 1997).

The cell is written from matrix products and pointwise functions, so that gradients of gradients
and stacking over tasks work; fused kernels have neither.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..meta.params import Params


@dataclass(frozen=True)
class Lstm:
    """``layers`` LSTM layers of ``hidden_size`` units over the rows of square images.

    A row of all channels is one step of the sequence; the feature vector is the top layer's
    output, averaged over the rows.
    """

    hidden_size: int = 128
    layers: int = 2
    image_channels: int = 1
    image_size: int = 28

    @property
    def feature_size(self) -> int:
        """Length of a feature vector."""
        return self.hidden_size

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self.image_channels, self.image_size, self.image_size

    def initialize(self, generator: torch.Generator) -> Params:
        """Draw weights uniformly in +-1/sqrt(hidden_size); forget gates start open (bias 1)."""
        params: dict[str, torch.Tensor] = {}
        inputs = self.image_channels * self.image_size
        bound = 1 / math.sqrt(self.hidden_size)
        for layer in self._layers():
            for kind, columns in (("input", inputs), ("recurrent", self.hidden_size)):
                drawn = torch.rand((4 * self.hidden_size, columns), generator=generator)
                params[f"{layer}.{kind}"] = (2 * drawn - 1) * bound
            bias = torch.zeros(4, self.hidden_size)
            bias[1] = 1
            params[f"{layer}.bias"] = bias.flatten()
            inputs = self.hidden_size
        return params

    def fixed(self) -> frozenset[str]:
        """No tensor is kept from the gradient."""
        return frozenset()

    def features(self, params: Params, images: torch.Tensor) -> torch.Tensor:
        """`(batch, channel, height, width)` to `(batch, hidden_size)`, row by row."""
        return self.through(params, images, 0, self.layers)

    @property
    def parts(self) -> tuple[frozenset[str], ...]:
        """The names of each layer's tensors."""
        kinds = ("input", "recurrent", "bias")
        return tuple(frozenset(f"{layer}.{kind}" for kind in kinds) for layer in self._layers())

    def through(self, params: Params, hidden: torch.Tensor, first: int, stop: int) -> torch.Tensor:
        """Run the layers ``first`` to ``stop - 1``, and average over time behind the last one.

        Between layers are sequences `(batch, row, hidden_size)`.
        """
        sequence = hidden if first else hidden.transpose(1, 2).flatten(2)
        for layer in self._layers()[first:stop]:
            sequence = _run_layer(
                params[f"{layer}.input"],
                params[f"{layer}.recurrent"],
                params[f"{layer}.bias"],
                sequence,
            )
        return sequence.mean(1) if stop == self.layers else sequence

    def features_in_pretraining(
        self, params: Params, images: torch.Tensor, _generator: torch.Generator
    ) -> tuple[torch.Tensor, Params]:
        """`features`: there are no statistics, and nothing is drawn."""
        return self.features(params, images), {}

    def _layers(self) -> tuple[str, ...]:
        return tuple(f"layer{number}" for number in range(1, self.layers + 1))


def _run_layer(
    inputs: torch.Tensor, recurrent: torch.Tensor, bias: torch.Tensor, sequence: torch.Tensor
) -> torch.Tensor:
    """`(batch, time, input)` to `(batch, time, hidden)`; gates: input, forget, cell, output."""
    driven = sequence @ inputs.T + bias
    output = sequence.new_zeros(sequence.shape[0], recurrent.shape[1])
    cell = output
    outputs = []
    for step in range(sequence.shape[1]):
        gates = driven[:, step] + output @ recurrent.T
        enter, forget, candidate, leave = gates.chunk(4, dim=1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
        output = leave.sigmoid() * cell.tanh()
        outputs.append(output)
    return torch.stack(outputs, dim=1)
