"""The inner loop of Conv4 with stored statistics on a CPU, its gradients written by hand.

`meta.inner_loop` is the definition; this gives the same numbers, to rounding, at a multiple of
its speed (see tests/benchmarks/README.md): no graph is built, the norm stays folded into the
convolutions, each block is computed in the way that suits its size, and the images are shared out
among idle threads. What adapts is started by the traced calls of `meta.traced`; what rests, and
the queries of a session of which the last block adapts, go through compiled loops.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import torch

from ..meta import head
from ..meta.episode import Support
from ..meta.inner_loop import HEAD, Initialization, first_moving, logits_of_seen
from ..meta.network import Network
from ..meta.params import Params
from ..meta.traced import Traced, traced
from ..meta.views import grid_of, seen_through
from ..networks.conv4 import Conv4
from .block_maps import map_of
from .block_steps import AdaptingBlock, Folded, Moving, Passes, Share, run_block
from .crew import Crew
from .executor import PREDICTED_TOGETHER, Outcome
from .first_block import FirstBlock
from .head_gradient import BoundHead, HeadLoss
from .last_block import LastBlock
from .whole_loop import WholeLoop
from .winograd import WinogradBlock

BYTES_AT_ONCE = 4 << 20
"""Of the largest maps in memory at once, where nothing has to be kept for gradients: about what
the cache of a core holds."""
FLOPS_WORTH_SHARING = 1e8
"""Forward operations of a part below which handing it to another thread costs more than it
gives."""


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
        self._resting = [
            WinogradBlock(*convolution.folded(initialization.params))
            for convolution in self._convolutions[1 : self._first]
        ]
        # Views are all of the initialization's, or none where queries are not seen in them.
        self._resting_by_views = {
            len(views): self._rest(views)
            for views in (initialization.views, initialization.query_views())
        }
        self._names = sorted(initialization.step_sizes.keys() | HEAD)
        self._classify = self._traced_logits()
        last = self._convolutions[-1]
        alone = self._first == len(self._convolutions) - 1 and LastBlock.serves(last)
        self._last_block = LastBlock(last, initialization) if alone else None
        params, sizes = initialization.params, initialization.step_sizes
        self._adapting = [
            AdaptingBlock(convolution, layout, params, sizes)
            for convolution, layout in zip(
                self._convolutions[self._first :], self._maps[self._first :], strict=True
            )
        ]
        scale = params[head.SCALE]
        self._head = HeadLoss(initialization.inner_loop.head_start, scale, network.feature_size)
        self._passes = Passes(self._adapting, self._blank(), crew) if self._adapting else None
        self._whole = (
            WholeLoop(self._passes, self._adapting, self._head, sizes, self._blank())
            if self._passes is not None
            else None
        )

    @staticmethod
    def serves(network: Network, initialization: Initialization) -> bool:
        """Tell whether this executor can stand for the definition."""
        return (
            isinstance(network, Conv4)
            and network.norm == "stored"
            and head.SCALE not in initialization.step_sizes
            and not network.fixed() & initialization.step_sizes.keys()
        )

    def warm_up(self) -> None:
        """See `Executor`."""
        if self._whole is not None:
            self._whole.warm_up(forked=self._crew.hands() > 1)

    def at_rest(self, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See `Executor`."""
        n_seen = 1 + len(views)
        flops = n_seen * sum(self._flops[: self._first])
        bounds = self._bounds(len(images), flops, self._most_rows(n_seen))
        return self._in_parts(self._resting_by_views[len(views)], images, bounds)

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
        return [self._logits(own, rest) for own, rest in zip(adapted, resting, strict=True)]

    def _logits(self, adapted: Params, resting: torch.Tensor) -> torch.Tensor:
        if self._last_block is not None and self._last_block.takes(resting):
            return self._last_block.logits(adapted, resting)
        flops = resting.shape[1] * sum(self._flops[self._first :])
        bounds = self._bounds(len(resting), flops, self._most_rows(resting.shape[1]))
        run = functools.partial(self._classify, *(adapted[name] for name in self._names))
        return self._in_parts(run, resting, bounds)

    def _adapt(self, resting: Support, steps: int) -> Outcome:
        n_seen = resting.images.shape[1]
        seen = Support(
            resting.images.flatten(0, 1), resting.labels.repeat_interleave(n_seen), resting.n_way
        )
        rows = self._head.of(seen)
        bounds = self._bounds(len(seen.images), sum(self._flops[self._first :]))
        if self._whole is None or len(bounds) > 1:
            return self._shared_out(seen, rows, bounds, steps, len(resting.images))
        found = self._whole.run(seen.images, rows, steps, forked=self._crew.hands() > 1)
        adapted = {head.WEIGHT: found.weight, head.BIAS: found.bias}
        for block, tensors in zip(self._adapting, found.moved, strict=True):
            adapted |= block.named(*tensors)
        return self._outcome(adapted, found.losses, found.features, len(resting.images))

    def _shared_out(
        self, seen: Support, rows: BoundHead, bounds: Sequence[slice], steps: int, n_images: int
    ) -> Outcome:
        """The inner loop with its passes in parts, each of which any idle thread may take."""
        initialization, passes, images = self._initialization, self._passes, seen.images
        offsets = {
            head.WEIGHT: images.new_zeros(seen.n_way, self._network.feature_size),
            head.BIAS: images.new_zeros(seen.n_way),
        }
        moving = [Moving(block) for block in self._adapting]
        shares: list[Share] = []
        features = images
        if passes is not None:
            shares = passes.shares(images, bounds)
            features = images.new_empty(len(images), self._network.feature_size)
        losses = []
        for number in range(steps + 1):
            folded = [block.folded for block in moving]
            if passes is not None:
                passes.forward(folded, shares, features)
            at = rows.gradients(features, offsets[head.WEIGHT], offsets[head.BIAS])
            losses.append(at.loss)
            if number == steps:
                break
            learned = min(number, initialization.inner_loop.steps - 1)
            if passes is not None:
                gradients = passes.backward(folded, shares, at.by_features)
                for block, (by_weight, by_bias) in zip(moving, gradients, strict=True):
                    block.step(by_weight, by_bias, learned)
            for name, gradient in ((head.WEIGHT, at.by_weight), (head.BIAS, at.by_bias)):
                if name in initialization.step_sizes:
                    length = initialization.step_sizes[name][learned] * seen.n_way
                    offsets[name] = offsets[name] - length * gradient
        adapted = {head.WEIGHT: at.weight, head.BIAS: at.bias}
        for block in moving:
            adapted |= block.adapted()
        return self._outcome(adapted, torch.stack(losses), features, n_images)

    def _outcome(
        self, adapted: Params, losses: torch.Tensor, features: torch.Tensor, n_images: int
    ) -> Outcome:
        """An outcome with the logits of its images, from the features of all their views."""
        initialization = self._initialization
        seen = features.view(n_images, -1, features.shape[1])
        queried = seen[:, : 1 + len(initialization.query_views())]
        rows = {**adapted, head.SCALE: initialization.params[head.SCALE]}
        return Outcome(adapted, losses, logits_of_seen(rows, queried))

    def _rest(self, views: torch.Tensor) -> Traced:
        """`at_rest` with these views."""
        blank = torch.zeros(1, *self._network.input_shape)
        grid = grid_of(views, blank)
        if self._first == 0:
            return lambda images: seen_through(images, grid)
        weight, bias = self._convolutions[0].folded(self._initialization.params)
        layout = self._maps[0]
        folded = Folded(layout.packed(weight), bias)
        start: Callable[[torch.Tensor], torch.Tensor] = (
            FirstBlock(grid, weight, bias)
            if self._network.image_channels == 1
            else traced(
                lambda images: run_block(layout, folded, seen_through(images, grid).flatten(0, 1)),
                blank,
            )
        )

        def rest(images: torch.Tensor) -> torch.Tensor:
            hidden = start(images)
            for block in self._resting:
                hidden = block(hidden)
            if self._first == len(self._convolutions):
                hidden = hidden.flatten(1)
            return hidden.reshape(len(images), -1, *hidden.shape[1:])

        return rest

    def _traced_logits(self) -> Traced:
        """`logits` of a session's tensors, by their names, and its queries."""
        params, n_seen = self._initialization.params, 1 + len(self._initialization.query_views())

        def logits(*inputs: torch.Tensor) -> torch.Tensor:
            *own, resting = inputs
            fast_weights = {**params, **dict(zip(self._names, own, strict=True))}
            seen = resting[:, :n_seen]
            hidden = seen.flatten(0, 1)
            blocks = self._folded(fast_weights, self._first, len(self._convolutions))
            for layout, folded in zip(self._maps[self._first :], blocks, strict=True):
                hidden = run_block(layout, folded, hidden)
            return logits_of_seen(fast_weights, hidden.reshape(*seen.shape[:2], -1))

        head_rows = {
            head.WEIGHT: torch.zeros(3, self._network.feature_size),
            head.BIAS: torch.zeros(3),
        }
        blank = self._blank()
        resting = blank.view(-1, n_seen, *blank.shape[1:])
        examples = [{**params, **head_rows}[name] for name in self._names]
        return traced(logits, *examples, resting)

    def _blank(self) -> torch.Tensor:
        """Two blank queries at rest, view by view: what the first block that adapts takes."""
        n_views = len(self._initialization.query_views())
        blank = torch.zeros(2, *self._network.input_shape)
        return torch.as_tensor(self._resting_by_views[n_views](blank)).flatten(0, 1)

    def _folded(self, params: Params, first: int, stop: int) -> list[Folded]:
        folded = []
        for convolution, layout in zip(
            self._convolutions[first:stop], self._maps[first:stop], strict=True
        ):
            weight, bias = convolution.folded(params)
            folded.append(Folded(layout.packed(weight), bias))
        return folded

    def _in_parts(self, run: Traced, rows: torch.Tensor, bounds: Sequence[slice]) -> torch.Tensor:
        """Run something row by row, in parts that any idle thread may take."""
        if len(bounds) == 1:
            return torch.as_tensor(run(rows))
        found = self._crew.map(lambda number: run(rows[bounds[number]]), len(bounds))
        return torch.cat(found)

    def _most_rows(self, maps_each: int) -> int:
        """How many rows of so many maps the memory bound allows at once."""
        return max(1, self._rows_at_once // maps_each)

    def _bounds(self, rows: int, flops: float, most: int | None = None) -> list[slice]:
        """Even shares of rows, each worth a thread, none longer than ``most``."""
        worth = max(1, int(rows * flops / FLOPS_WORTH_SHARING))
        parts = min(self._crew.hands(), worth, rows)
        if most is not None:
            parts = max(parts, -(-rows // most))
        edges = [rows * number // parts for number in range(parts + 1)]
        return [slice(*pair) for pair in itertools.pairwise(edges)]
