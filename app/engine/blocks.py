"""The inner loop of Conv4 with stored statistics on a CPU, its gradients written by hand.

`meta.inner_loop` is the definition; this gives the same numbers, to rounding, at a multiple of
its speed (see tests/benchmarks/README.md): no graph is built, the norm stays folded into the
convolutions, each block is computed in the way that suits its size, and the images are shared
out among idle threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ..meta import head
from ..meta.episode import Support
from ..meta.inner_loop import Initialization, first_moving, logits_of_seen
from ..meta.network import Network
from ..meta.params import Params
from ..meta.views import grid_of, seen_through
from ..networks.conv4 import Conv4
from ..networks.convolution import EPSILON, NormalisedConvolution
from .block_maps import Map, activated, map_of, through_activation
from .crew import Crew
from .executor import PREDICTED_TOGETHER, Outcome
from .head_gradient import Head

BYTES_AT_ONCE = 4 << 20
"""Of the largest maps in memory at once, where nothing has to be kept for gradients."""
FLOPS_WORTH_SHARING = 1e8
"""Forward operations of a part below which handing it to another thread costs more than it
gives."""


@dataclass(frozen=True)
class _Folded:
    """A block ready to run: `map`, packed weight and bias with the norm folded in."""

    map: Map
    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        return activated(self.map.convolved(self.map.prepared(hidden), self.weight), self.bias)[0]


@dataclass
class _Moving:
    """A block's tensors as they adapt, its weight packed, and the step sizes of those that do."""

    convolution: NormalisedConvolution
    map: Map
    weight: torch.Tensor
    gain: torch.Tensor
    bias: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor
    step_sizes: Params

    def folded(self) -> _Folded:
        scale = self.gain / self.deviation
        weight = self.weight * self.map.per_output(scale)
        return _Folded(self.map, weight, self.bias - self.mean * scale)

    def step(self, by_weight: torch.Tensor, by_bias: torch.Tensor, number: int) -> None:
        """Move along the gradients by the folded weight and bias."""
        scale = self.gain / self.deviation
        sizes = {kind: learned[number] for kind, learned in self.step_sizes.items()}
        if "gain" in sizes:
            by_scale = self.map.output_sums(by_weight * self.weight) - by_bias * self.mean
            self.gain = self.gain - sizes["gain"] * (by_scale / self.deviation)
        if "weight" in sizes:
            lengths = sizes["weight"] * self.map.per_output(scale)
            self.weight = torch.addcmul(self.weight, by_weight, lengths, value=-1)
        if "bias" in sizes:
            self.bias = self.bias - sizes["bias"] * by_bias

    def adapted(self) -> Params:
        kinds = {
            "weight": self.map.unpacked(self.weight),
            "gain": self.gain,
            "bias": self.bias,
        }
        return {f"{self.convolution.name}.{kind}": kinds[kind] for kind in self.step_sizes}


@dataclass
class _Taped:
    """What a block's backward pass needs of its forward pass."""

    prepared: torch.Tensor
    maps: torch.Tensor
    indices: torch.Tensor
    active: torch.Tensor


@dataclass
class _Share:
    """The rows of a support set that one thread computes together, and their tape."""

    rows: slice
    prepared: torch.Tensor
    tape: list[_Taped] = field(default_factory=list)


class Blocks:
    """The executor of one such initialization."""

    name = "blocks"
    most_adapted_together = 1
    most_predicted_together = PREDICTED_TOGETHER

    def __init__(self, network: Conv4, initialization: Initialization, crew: Crew) -> None:
        self._network, self._initialization, self._crew = network, initialization, crew
        self._first = first_moving(network, initialization)
        self._convolutions = network.convolutions()
        sides = [network.image_size >> number for number in range(len(self._convolutions))]
        self._maps = [
            map_of(convolution.inputs, convolution.outputs, side)
            for convolution, side in zip(self._convolutions, sides, strict=True)
        ]
        self._flops = [
            2.0 * 9 * convolution.inputs * convolution.outputs * side**2
            for convolution, side in zip(self._convolutions, sides, strict=True)
        ]
        self._rows_at_once = max(1, BYTES_AT_ONCE // (network.channels * network.image_size**2 * 4))
        # Of the two kinds of views there are, one has none.
        blank = torch.zeros(1, *network.input_shape)
        self._grids = {
            len(views): grid_of(views, blank)
            for views in (initialization.views, initialization.query_views())
            if len(views)
        } | {0: torch.empty(0)}
        self._resting = self._folded(initialization.params, 0, self._first)

    @staticmethod
    def serves(network: Network, initialization: Initialization) -> bool:
        """Tell whether this executor can stand for the definition."""
        return (
            isinstance(network, Conv4)
            and network.norm == "stored"
            and head.SCALE not in initialization.step_sizes
            and not network.fixed() & initialization.step_sizes.keys()
        )

    def at_rest(self, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See `Executor`."""
        seen = seen_through(images, self._grids[len(views)])
        hidden = self._run(self._resting, seen.flatten(0, 1), sum(self._flops[: self._first]))
        if self._first == len(self._convolutions):
            hidden = hidden.flatten(1)
        return hidden.reshape(*seen.shape[:2], *hidden.shape[1:])

    def bucket(self, n_images: int) -> int:
        """See `Executor`."""
        return n_images

    def adapt(self, resting: Sequence[Support], steps: int) -> list[Outcome]:
        """See `Executor`."""
        return [self._adapt(one, steps) for one in resting]

    def logits(
        self, adapted: Sequence[Params], resting: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """See `Executor`."""
        return [self._logits(*session) for session in zip(adapted, resting, strict=True)]

    def _logits(self, adapted: Params, resting: torch.Tensor) -> torch.Tensor:
        fast_weights = {**self._initialization.params, **adapted}
        seen = resting[:, : 1 + len(self._initialization.query_views())]
        blocks = self._folded(fast_weights, self._first, len(self._convolutions))
        hidden = self._run(blocks, seen.flatten(0, 1), sum(self._flops[self._first :]))
        return logits_of_seen(fast_weights, hidden.reshape(*seen.shape[:2], -1))

    def _adapt(self, resting: Support, steps: int) -> Outcome:
        initialization = self._initialization
        n_images, n_seen = resting.images.shape[:2]
        images = resting.images.flatten(0, 1)
        seen = Support(images, resting.labels.repeat_interleave(n_seen), resting.n_way)
        scale = initialization.params[head.SCALE]
        rows = Head(initialization.inner_loop.head_start, scale, seen)
        offset_weight = images.new_zeros(seen.n_way, self._network.feature_size)
        offset_bias = images.new_zeros(seen.n_way)
        moving = [self._moving(number) for number in range(self._first, len(self._convolutions))]
        shares = self._shares(images)
        features = images.new_empty(len(images), self._network.feature_size)
        losses = []
        for number in range(steps + 1):
            folded = [block.folded() for block in moving]
            self._forward(folded, shares, features)
            at = rows.gradients(features, offset_weight, offset_bias)
            losses.append(at.loss)
            if number == steps:
                break
            learned = min(number, initialization.inner_loop.steps - 1)
            self._backward(moving, folded, shares, at.by_features, learned)
            sizes = initialization.step_sizes
            if head.WEIGHT in sizes:
                length = sizes[head.WEIGHT][learned] * seen.n_way
                offset_weight = offset_weight - length * at.by_weight
            if head.BIAS in sizes:
                offset_bias = offset_bias - sizes[head.BIAS][learned] * seen.n_way * at.by_bias
        adapted = {head.WEIGHT: at.weight, head.BIAS: at.bias}
        for block in moving:
            adapted |= block.adapted()
        queried = features.view(n_images, n_seen, -1)[:, : 1 + len(initialization.query_views())]
        return Outcome(
            adapted=adapted,
            losses=torch.stack(losses),
            scores=logits_of_seen({**adapted, head.SCALE: scale}, queried),
        )

    def _forward(self, folded: list[_Folded], shares: list[_Share], features: torch.Tensor) -> None:
        """Fill in the features of all rows, and every share's tape."""

        def run(number: int) -> None:
            share = shares[number]
            share.tape.clear()
            hidden = share.prepared
            for place, block in enumerate(folded):
                prepared = hidden if place == 0 else block.map.prepared(hidden)
                maps = block.map.convolved(prepared, block.weight)
                hidden, indices = activated(maps, block.bias)
                share.tape.append(_Taped(prepared, maps, indices, hidden))
            features[share.rows] = hidden.flatten(1)

        self._crew.map(run, len(shares))

    def _backward(
        self,
        moving: list[_Moving],
        folded: list[_Folded],
        shares: list[_Share],
        by_features: torch.Tensor,
        learned: int,
    ) -> None:
        """Take one step of all blocks."""
        if not moving:
            return
        shape = shares[0].tape[-1].active.shape[1:]
        by_active = by_features.view(-1, *shape).contiguous(memory_format=torch.channels_last)

        def run(number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
            share = shares[number]
            gradient = by_active[share.rows]
            found = []
            for place in range(len(folded) - 1, -1, -1):
                taped, block = share.tape.pop(), folded[place]
                by_maps, by_bias = through_activation(
                    gradient, taped.active, taped.maps, taped.indices
                )
                by_weight = block.map.by_weight(by_maps, taped.prepared, block.weight)
                found.append((by_weight, by_bias))
                if place > 0:
                    gradient = block.map.by_input(by_maps, taped.prepared, block.weight)
            return found

        found = self._crew.map(run, len(shares))
        for block, parts in zip(reversed(moving), zip(*found, strict=True), strict=True):
            by_weight, by_bias = (
                sum(tensors[1:], tensors[0]) for tensors in zip(*parts, strict=True)
            )
            block.step(by_weight, by_bias, learned)

    def _moving(self, number: int) -> _Moving:
        convolution, layout = self._convolutions[number], self._maps[number]
        params, sizes = self._initialization.params, self._initialization.step_sizes
        own = {kind: params[f"{convolution.name}.{kind}"] for kind in KINDS}
        step_sizes = {
            kind: sizes[f"{convolution.name}.{kind}"]
            for kind in ("weight", "gain", "bias")
            if f"{convolution.name}.{kind}" in sizes
        }
        if "weight" in step_sizes and step_sizes["weight"].dim() > 1:
            step_sizes["weight"] = torch.stack([layout.packed(s) for s in step_sizes["weight"]])
        return _Moving(
            convolution=convolution,
            map=layout,
            weight=layout.packed(own["weight"]),
            gain=own["gain"],
            bias=own["bias"],
            mean=own["mean"],
            deviation=torch.sqrt(own["variance"] + EPSILON),
            step_sizes=step_sizes,
        )

    def _folded(self, params: Params, first: int, stop: int) -> list[_Folded]:
        folded = []
        for convolution, layout in zip(
            self._convolutions[first:stop], self._maps[first:stop], strict=True
        ):
            weight, bias = convolution.folded(params)
            folded.append(_Folded(layout, layout.packed(weight), bias))
        return folded

    def _shares(self, images: torch.Tensor) -> list[_Share]:
        """Rows of a support set by share; what the first block takes is laid out once."""
        first = self._first
        bounds = self._bounds(len(images), sum(self._flops[first:]))
        return [
            _Share(rows, self._maps[first].prepared(images[rows]))
            if first < len(self._maps)
            else _Share(rows, images[rows])
            for rows in bounds
        ]

    def _run(self, blocks: list[_Folded], hidden: torch.Tensor, flops: float) -> torch.Tensor:
        """Run blocks one way, on as many rows at once as the memory bound allows."""
        if not blocks:
            return hidden
        bounds = self._bounds(len(hidden), flops, most=self._rows_at_once)

        def run(number: int) -> torch.Tensor:
            rows = hidden[bounds[number]]
            for block in blocks:
                rows = block(rows)
            return rows

        return torch.cat(self._crew.map(run, len(bounds)))

    def _bounds(self, rows: int, flops: float, most: int | None = None) -> list[slice]:
        """Even shares of rows, each worth a thread, none longer than ``most``."""
        worth = max(1, int(rows * flops / FLOPS_WORTH_SHARING))
        parts = min(self._crew.hands(), worth, rows)
        if most is not None:
            parts = max(parts, -(-rows // most))
        edges = [rows * number // parts for number in range(parts + 1)]
        return [slice(*pair) for pair in itertools.pairwise(edges)]


KINDS = ("weight", "gain", "bias", "mean", "variance")
