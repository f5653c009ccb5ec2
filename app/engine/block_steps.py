"""The steps of Conv4's blocks that adapt: both passes and the update, each of them traced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..meta.params import Params
from ..meta.traced import Traced, traced
from ..networks.convolution import EPSILON, NormalisedConvolution
from .block_maps import Map, activated, through_activation
from .crew import Crew

KINDS = ("weight", "gain", "bias")


@dataclass(frozen=True)
class Folded:
    """A block ready to run: its packed weight and its bias, with the norm folded in."""

    weight: torch.Tensor
    bias: torch.Tensor


def run_block(layout: Map, folded: Folded, hidden: torch.Tensor) -> torch.Tensor:
    """One way through a block."""
    return layout.pooled(hidden, folded.weight).add_(folded.bias.view(-1, 1, 1)).relu_()


@dataclass
class Share:
    """The rows of a support set that one thread computes together.

    ``tape`` is what their backward pass needs of their forward pass.
    """

    rows: slice
    prepared: torch.Tensor
    tape: tuple[torch.Tensor, ...] = ()


class Downward(NamedTuple):
    """A block that the backward pass has come to: what the gradients by its tensors follow from."""

    place: int
    by_maps: torch.Tensor
    taken: torch.Tensor
    weight: torch.Tensor
    by_bias: torch.Tensor


class Moving:
    """One block's tensors on their way, its weight packed."""

    def __init__(self, block: AdaptingBlock) -> None:
        self._block = block
        self._tensors = block.start
        self.folded = block.folded_start

    def step(self, by_weight: torch.Tensor, by_bias: torch.Tensor, number: int) -> None:
        """Move along the gradients by the folded weight and bias."""
        sizes = [learned[number] for learned in self._block.step_sizes.values()]
        *tensors, weight, bias = self._block.stepped(by_weight, by_bias, *self._tensors, *sizes)
        self._tensors, self.folded = tuple(tensors), Folded(weight, bias)

    def adapted(self) -> Params:
        """The tensors that adapt, by their names."""
        return self._block.named(*self._tensors)


class AdaptingBlock:
    """A block behind the first part that adapts: where it starts, and how it steps."""

    def __init__(
        self, convolution: NormalisedConvolution, layout: Map, params: Params, step_sizes: Params
    ) -> None:
        self.convolution, self.map = convolution, layout
        own = {kind: params[f"{convolution.name}.{kind}"] for kind in (*KINDS, "mean", "variance")}
        self._mean, self._deviation = own["mean"], torch.sqrt(own["variance"] + EPSILON)
        self.start = (layout.packed(own["weight"]), own["gain"], own["bias"])
        weight, bias = convolution.folded(params)
        self.folded_start = Folded(layout.packed(weight), bias)
        names = {kind: f"{convolution.name}.{kind}" for kind in KINDS}
        self.step_sizes = {
            kind: step_sizes[name] for kind, name in names.items() if name in step_sizes
        }
        if "weight" in self.step_sizes and self.step_sizes["weight"].dim() > 1:
            each = [layout.packed(sizes) for sizes in self.step_sizes["weight"]]
            self.step_sizes["weight"] = torch.stack(each)
        gradients = (self.folded_start.weight, self.folded_start.bias)
        sizes = [learned[0] for learned in self.step_sizes.values()]
        self.stepped = traced(self.moved, *gradients, *self.start, *sizes)

    def named(self, weight: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor) -> Params:
        """Those of a packed weight, a gain and a bias that adapt, by their names."""
        found = {"weight": self.map.unpacked(weight), "gain": gain, "bias": bias}
        return {f"{self.convolution.name}.{kind}": found[kind] for kind in self.step_sizes}

    def moved_from(
        self,
        by_maps: torch.Tensor,
        taken: torch.Tensor,
        packed: torch.Tensor,
        by_bias: torch.Tensor,
        *inputs: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """`moved`, from what the gradient by the folded weight ``packed`` follows from."""
        return self.moved(self.map.by_weight(by_maps, taken, packed), by_bias, *inputs)

    def moved(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Weight, gain and bias a step further, and the weight and bias that they fold into."""
        by_weight, by_bias, weight, gain, bias, *sizes = inputs
        size = dict(zip(self.step_sizes, sizes, strict=True))
        scale = gain / self._deviation
        moved_weight, moved_gain, moved_bias = weight, gain, bias
        if "weight" in size:
            lengths = size["weight"] * self.map.per_output(scale)
            moved_weight = torch.addcmul(weight, by_weight, lengths, value=-1)
        if "gain" in size:
            by_scale = self.map.output_sums(by_weight * weight) - by_bias * self._mean
            moved_gain = gain - size["gain"] * (by_scale / self._deviation)
        if "bias" in size:
            moved_bias = bias - size["bias"] * by_bias
        scale = moved_gain / self._deviation
        folded = moved_weight * self.map.per_output(scale)
        return moved_weight, moved_gain, moved_bias, folded, moved_bias - self._mean * scale


class Passes:
    """Forward and backward through the blocks that adapt, shared out by rows."""

    def __init__(self, blocks: Sequence[AdaptingBlock], example: torch.Tensor, crew: Crew) -> None:
        """``example`` is a few rows of what the first of the blocks takes."""
        self._maps, self._crew = [block.map for block in blocks], crew
        prepared = self._maps[0].prepared(example)
        tensors = _flat([block.folded_start for block in blocks])
        self._forward: Traced = traced(self.forwards, prepared, *tensors)
        features, *tape = self._forward(prepared, *tensors)
        self._backward: Traced = traced(self.backwards, features, prepared, *tensors, *tape)

    def prepared(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows as the first block's map takes them."""
        return self._maps[0].prepared(rows)

    def shares(self, rows: torch.Tensor, bounds: Sequence[slice]) -> list[Share]:
        """Rows in shares; what the first block takes of them is laid out once."""
        return [Share(bound, self.prepared(rows[bound])) for bound in bounds]

    def forward(
        self, folded: Sequence[Folded], shares: Sequence[Share], features: torch.Tensor
    ) -> None:
        """Fill in the `(row, feature)` features of all rows, and every share's tape."""
        tensors = _flat(folded)

        def run(number: int) -> None:
            share = shares[number]
            found, *tape = self._forward(share.prepared, *tensors)
            features[share.rows], share.tape = found, tuple(tape)

        self._crew.map(run, len(shares))

    def backward(
        self, folded: Sequence[Folded], shares: Sequence[Share], by_features: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The gradients by every block's folded weight and bias, from that by the features."""
        tensors = _flat(folded)

        def run(number: int) -> tuple[torch.Tensor, ...]:
            share = shares[number]
            rows = by_features[share.rows]
            found: tuple[torch.Tensor, ...] = self._backward(
                rows, share.prepared, *tensors, *share.tape
            )
            return found

        parts = self._crew.map(run, len(shares))
        sums = [sum(tensors[1:], tensors[0]) for tensors in zip(*parts, strict=True)]
        return list(zip(sums[::2], sums[1::2], strict=True))

    def forwards(self, prepared: torch.Tensor, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The features, and for each block what it took, its maps, indices and activations."""
        tape: list[torch.Tensor] = []
        hidden = prepared
        for place, layout in enumerate(self._maps):
            taken = hidden if place == 0 else layout.prepared(hidden)
            maps = layout.convolved(taken, tensors[2 * place])
            hidden, indices = activated(maps, tensors[2 * place + 1])
            tape += [taken, maps, indices, hidden]
        return hidden.flatten(1), *tape

    def backwards(
        self, by_features: torch.Tensor, _prepared: torch.Tensor, *inputs: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """By the first block's weight and bias, then the next one's."""
        tensors, tape = inputs[: 2 * len(self._maps)], inputs[2 * len(self._maps) :]
        found: list[torch.Tensor] = []
        for block in self.downwards(by_features, tensors, tape):
            layout = self._maps[block.place]
            by_weight = layout.by_weight(block.by_maps, block.taken, block.weight)
            found = [by_weight, block.by_bias, *found]
        return tuple(found)

    def downwards(
        self,
        by_features: torch.Tensor,
        tensors: Sequence[torch.Tensor],
        tape: Sequence[torch.Tensor],
    ) -> Iterator[Downward]:
        """From the last block to the first; the way on does not wait for gradients by weights."""
        gradient = by_features.view_as(tape[-1]).contiguous(memory_format=torch.channels_last)
        for place in range(len(self._maps) - 1, -1, -1):
            layout, weight = self._maps[place], tensors[2 * place]
            taken, maps, indices, active = tape[4 * place : 4 * place + 4]
            by_maps, by_bias = through_activation(gradient, active, maps, indices)
            yield Downward(place, by_maps, taken, weight, by_bias)
            if place > 0:
                gradient = layout.by_input(by_maps, taken, weight)


def _flat(folded: Sequence[Folded]) -> list[torch.Tensor]:
    return [tensor for block in folded for tensor in (block.weight, block.bias)]
