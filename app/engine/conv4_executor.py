"""The inner loop of Conv4 with stored statistics on a CPU, in compiled loops.

`meta.inner_loop` is the definition; this gives the same numbers, to rounding, at a multiple of
its speed (see tests/benchmarks/README.md): no graph is built, no operation is started from Python
but a whole pass or a whole loop, convolutions run by Winograd's algorithm with the norm folded in,
and the images are shared out among idle threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..kernels.jit import Floats
from ..meta import head
from ..meta.episode import Support
from ..meta.inner_loop import Initialization, first_adapted
from ..meta.network import Network
from ..meta.params import Params, array_of
from ..meta.views import sampling_grid, with_views_at
from ..networks.conv4 import Conv4
from .executor import PREDICTED_TOGETHER, Outcome
from .head_loops import STARTS, Labelled, scores, still
from .helper_pool import HelperPool
from .last_block import LastBlock
from .moving_blocks import (
    Block,
    Gradient,
    Loop,
    MovingBlocks,
    Share,
    State,
    head_sizes_of,
    look,
    look_at_head,
    look_back,
    loop,
    loop_of_head,
    step,
    step_head,
)
from .resting_blocks import FirstBlock, RestingBlock

FLOPS_WORTH_SHARING = 5e7
"""Forward operations of a part below which handing it to another thread costs more than it
gives."""


class Conv4Executor:
    """The executor of one such initialization."""

    name = "blocks"
    max_adapt_batch = 1
    max_predict_batch = PREDICTED_TOGETHER

    def __init__(self, network: Conv4, initialization: Initialization, helpers: HelperPool) -> None:
        self._network, self._initialization, self._helpers = network, initialization, helpers
        self._first = first_adapted(network, initialization)
        convolutions = network.convolutions()
        self._flops = [
            2.0 * 9 * convolution.inputs * convolution.outputs * (network.image_size >> number) ** 2
            for number, convolution in enumerate(convolutions)
        ]
        params, sizes = initialization.params, initialization.step_sizes
        frozen = [one.folded(params) for one in convolutions[: self._first]]
        self._frozen = [RestingBlock(*folded) for folded in frozen]
        # Views are all of the initialization's, or none where queries are not seen in them.
        self._first_by_views = {
            len(views): self._start_of_rest(views, frozen[0] if frozen else None)
            for views in (initialization.views, initialization.query_views())
        }
        steps, moving = initialization.inner_loop.steps, convolutions[self._first :]
        side = network.image_size >> self._first
        self._moving = MovingBlocks(moving, side, params, sizes, steps) if moving else None
        alone = len(moving) == 1 and LastBlock.serves(moving[0])
        self._last_block = LastBlock(moving[0], initialization) if alone else None
        self._head_sizes = head_sizes_of(sizes, steps)
        self._head_start = STARTS[initialization.inner_loop.head_start]
        self._scale = np.float32(params[head.SCALE])

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
        images = torch.zeros(2, *self._network.input_shape)
        rest = self.frozen_features(images, self._initialization.views)
        support = Support(rest, torch.tensor([0, 1]), 2)
        everything = [slice(0, rest.shape[0] * rest.shape[1])]
        outcome = self._adapt(support, 1, everything)
        if self._moving is not None:
            self._adapt(support, 1, [*everything, *everything])
        many = self.frozen_features(images, self._initialization.query_views())
        for number in (1, 2 * PREDICTED_TOGETHER):
            self._logits(outcome.adapted, many[:1].repeat_interleave(number, 0))

    def frozen_features(self, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See `Executor`."""
        flops = (1 + len(views)) * sum(self._flops[: self._first])

        def rest(some: torch.Tensor) -> torch.Tensor:
            hidden = self._first_by_views[len(views)](some)
            for block in self._frozen[1:]:
                hidden = block(hidden)
            if self._moving is None:
                hidden = hidden.flatten(1)
            return hidden.reshape(len(some), -1, *hidden.shape[1:])

        return self._in_parts(rest, images, self._bounds(len(images), flops))

    def bucket(self, n_images: int) -> int:
        """See `Executor`."""
        return n_images

    def adapt(self, frozen: Sequence[Support], steps: int) -> list[Outcome]:
        """See `Executor`."""
        flops = sum(self._flops[self._first :])
        return [
            self._adapt(one, steps, self._bounds(one.images.shape[0] * one.images.shape[1], flops))
            for one in frozen
        ]

    def logits(
        self, adapted: Sequence[Params], frozen: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """See `Executor`."""
        return [self._logits(own, rest) for own, rest in zip(adapted, frozen, strict=True)]

    def _logits(self, adapted: Params, frozen: torch.Tensor) -> torch.Tensor:
        if self._last_block is not None and self._last_block.takes(frozen):
            return self._last_block.logits(adapted, frozen)
        seen = frozen[:, : 1 + len(self._initialization.query_views())]
        rows = [array_of(adapted[name]) for name in (head.WEIGHT, head.BIAS)]
        if self._moving is None:
            return self._logits_of_seen(array_of(seen.flatten(0, 1)), len(seen), *rows)
        moving = self._moving
        states = moving.states_of({**self._initialization.params, **adapted})

        def run(queries: torch.Tensor) -> torch.Tensor:
            features = moving.features(states, queries.flatten(0, 1))
            return self._logits_of_seen(features, len(queries), *rows)

        flops = seen.shape[1] * sum(self._flops[self._first :])
        return self._in_parts(run, seen, self._bounds(len(seen), flops))

    def _adapt(self, frozen: Support, steps: int, bounds: Sequence[slice]) -> Outcome:
        n_images, n_seen = frozen.images.shape[:2]
        rows, size = frozen.images.flatten(0, 1), self._network.feature_size
        given = Loop(
            still(frozen.n_way, size),
            _labelled(frozen, n_seen),
            self._head_start,
            self._scale,
            self._head_sizes,
            np.empty(steps + 1, np.float32),
            array_of(rows) if self._moving is None else np.empty((len(rows), size), np.float32),
        )
        found: dict[str, torch.Tensor] = {}
        if self._moving is None:
            loop_of_head(given)
        else:
            blocks, states = self._moving.blocks, self._moving.start()
            shares = [self._moving.share(rows[bound]) for bound in bounds]
            if len(shares) == 1:
                loop(blocks, states, shares[0], given)
            else:
                self._shared_out(blocks, states, list(zip(shares, bounds, strict=True)), given)
            found |= self._moving.named(states)
        found[head.WEIGHT] = torch.from_numpy(given.head.weight)
        found[head.BIAS] = torch.from_numpy(given.head.bias)
        logits = self._logits_of_seen(given.features, n_images, given.head.weight, given.head.bias)
        return Outcome(found, torch.from_numpy(given.losses), logits)

    def _logits_of_seen(
        self, features: Floats, n_images: int, weight: Floats, bias: Floats
    ) -> torch.Tensor:
        """`(image, n_way)` logits of images, from the features of all that was seen of them."""
        logits = np.empty((n_images, len(bias)), np.float32)
        n_seen = 1 + len(self._initialization.query_views())
        scores(features, n_seen, weight, bias, self._scale, logits)
        return torch.from_numpy(logits)

    def _shared_out(
        self,
        blocks: tuple[Block, ...],
        states: tuple[State, ...],
        shares: Sequence[tuple[Share, slice]],
        given: Loop,
    ) -> None:
        """`loop` with its passes in parts, each of which any idle thread may take."""
        by_features = np.empty_like(given.features)

        def forward(part: int) -> None:
            share, bound = shares[part]
            look(states, share, given.features[bound])

        def back(part: int) -> None:
            share, bound = shares[part]
            look_back(states, share, by_features[bound])

        def move(place: int) -> None:
            gradient = _summed([share.gradients[place] for share, _ in shares])
            step(states[place], blocks[place], gradient, learned)

        last = len(given.losses) - 1
        for number in range(last + 1):
            self._helpers.map(forward, len(shares))
            look_at_head(given, number, by_features)
            if number < last:
                learned = min(number, len(given.head_sizes) - 1)
                self._helpers.map(back, len(shares))
                self._helpers.map(move, len(states))
                step_head(given, learned)

    def _start_of_rest(
        self, views: torch.Tensor, folded: tuple[torch.Tensor, torch.Tensor] | None
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Images to all that is seen of them, `(image * (1 + view), ...)`, behind the first block.

        Or before it, where it does not rest.
        """
        grid = sampling_grid(views, torch.zeros(1, *self._network.input_shape))
        if folded is None:
            return lambda images: with_views_at(images, grid).flatten(0, 1)
        if self._network.image_channels == 1:
            return FirstBlock(grid, *folded)
        first = self._frozen[0]
        return lambda images: first(with_views_at(images, grid).flatten(0, 1))

    def _in_parts(
        self,
        run: Callable[[torch.Tensor], torch.Tensor],
        rows: torch.Tensor,
        bounds: Sequence[slice],
    ) -> torch.Tensor:
        """Run something row by row, in parts that any idle thread may take."""
        if len(bounds) == 1:
            return run(rows)
        return torch.cat(self._helpers.map(lambda number: run(rows[bounds[number]]), len(bounds)))

    def _bounds(self, rows: int, flops: float) -> list[slice]:
        """Even shares of rows, each worth a thread."""
        worth = max(1, int(rows * flops / FLOPS_WORTH_SHARING))
        parts = min(self._helpers.hands(), worth, rows)
        edges = [rows * number // parts for number in range(parts + 1)]
        return [slice(*pair) for pair in itertools.pairwise(edges)]


def _labelled(frozen: Support, n_seen: int) -> Labelled:
    """The classes of all that is seen of a support set, whose loss weighs classes equally."""
    labels = np.repeat(frozen.labels.numpy(), n_seen)
    shares = (1 / np.bincount(labels, minlength=frozen.n_way))[labels].astype(np.float32)
    return Labelled(labels, shares, shares / np.float32(frozen.n_way))


def _summed(parts: Sequence[Gradient]) -> Gradient:
    """The sum of gradients, in the place of the first one."""
    for other in parts[1:]:
        for total, more in zip(parts[0], other, strict=True):
            np.add(total, more, out=total)
    return parts[0]
