"""An inner loop as one call that the interpreter has no part in, where one thread does it all.

It is traced (see `meta.traced`) from the same passes, head and updates as where a support set is
shared out among threads. Other numbers of steps than the learned one are a call each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from ..meta import head
from ..meta.params import Params
from ..meta.traced import TracedLater, at_once, begun, joined
from .block_steps import AdaptingBlock, Passes
from .head_gradient import BoundHead, HeadLoss

ROWS = 4
"""Tensors of a support set: what the first block takes of it, and what the head does."""
PER_BLOCK = 5
"""Tensors of a block in the state: weight, gain and bias, and what the first and last fold into."""


class Found(NamedTuple):
    """How a loop ended: as `Outcome` has it, with the features of the support set.

    ``moved`` has weight, gain and bias of each block.
    """

    losses: torch.Tensor
    features: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    moved: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


class WholeLoop:
    """The inner loop of an initialization whose blocks from some on adapt, and its head."""

    def __init__(
        self,
        passes: Passes,
        blocks: Sequence[AdaptingBlock],
        head_loss: HeadLoss,
        step_sizes: Params,
        example: torch.Tensor,
    ) -> None:
        """``example`` is a few rows of what the first of the blocks takes."""
        self._passes, self._blocks, self._head = passes, blocks, head_loss
        self._head_sizes = [name for name in (head.WEIGHT, head.BIAS) if name in step_sizes]
        learned = len(next(iter(step_sizes.values())))
        sizes = [
            [
                *(each[number] for block in blocks for each in block.step_sizes.values()),
                *(step_sizes[name][number] for name in self._head_sizes),
            ]
            for number in range(learned)
        ]
        self._sizes = sizes
        membership = torch.eye(len(example))
        shares = torch.full((len(example), 1), 0.5)
        rows = (passes.prepared(example), membership, membership, shares)
        given = (*rows, *self._start(len(example)))
        self._step = TracedLater(self._stepped, *given, *sizes[0])
        self._last = TracedLater(self._looked_at, *given)
        self._whole = TracedLater(self._looped, *given)
        self._whole_forked = TracedLater(self._looped_forked, *given)

    def warm_up(self, *, forked: bool) -> None:
        """Make every call that `run` may need, with a helping thread or without one."""
        for call in (self._whole, self._step, self._last):
            call.make()
        if forked:
            self._whole_forked.make()

    def run(
        self, rows: torch.Tensor, bound: BoundHead, steps: int, *, forked: bool = False
    ) -> Found:
        """Adapt to `(row, ...)` of what the first block takes, with the head of their labels.

        With ``forked`` a thread that is idle helps with the learned number of steps.
        """
        given = self._passes.prepared(rows), bound.membership, bound.shares, bound.weights
        state = self._start(bound.membership.shape[1])
        if steps == len(self._sizes):
            whole = self._whole_forked if forked else self._whole
            return self._found(whole(*given, *state))
        losses = []
        for number in range(steps):
            loss, *state = self._step(
                *given, *state, *self._sizes[min(number, len(self._sizes) - 1)]
            )
            losses.append(loss)
        loss, *looked = self._last(*given, *state)
        return self._found((torch.stack([*losses, loss]), *looked, *state))

    def _found(self, found: Sequence[torch.Tensor]) -> Found:
        losses, features, weight, bias, *state = found
        moved = [(state[place], state[place + 1], state[place + 2]) for place in self._places()]
        return Found(losses, features, weight, bias, moved)

    def _looped_forked(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self._looped(*inputs, forked=True)

    def _looped(self, *inputs: torch.Tensor, forked: bool = False) -> tuple[torch.Tensor, ...]:
        """All steps that were learned: losses, features, head's rows, and the state at the end."""
        rows, state = inputs[:ROWS], list(inputs[ROWS:])
        losses = []
        for sizes in self._sizes:
            loss, *state = self._stepped(*rows, *state, *sizes, forked=forked)
            losses.append(loss)
        loss, *looked = self._looked_at(*rows, *state)
        return (torch.stack([*losses, loss]), *looked, *state)

    def _start(self, n_way: int) -> list[torch.Tensor]:
        size = self._head.feature_size
        own = [
            tensor
            for block in self._blocks
            for tensor in (*block.start, block.folded_start.weight, block.folded_start.bias)
        ]
        return [*own, torch.zeros(n_way, size), torch.zeros(n_way)]

    def _places(self) -> range:
        return range(0, PER_BLOCK * len(self._blocks), PER_BLOCK)

    def _folded(self, state: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [tensor for place in self._places() for tensor in state[place + 3 : place + 5]]

    def _stepped(self, *inputs: torch.Tensor, forked: bool = False) -> tuple[torch.Tensor, ...]:
        """The loss at a state, and the state a step further; the step's sizes come last.

        With ``forked`` another thread moves the blocks that the way down has passed.
        """
        (prepared, *labelled), behind = inputs[:ROWS], inputs[ROWS:]
        state = behind[: PER_BLOCK * len(self._blocks) + 2]
        sizes = iter(behind[len(state) :])
        sizes_of = [[next(sizes) for _ in block.step_sizes] for block in self._blocks]
        folded, offsets = self._folded(state), state[-2:]
        features, *tape = self._passes.forwards(prepared, *folded)
        at = self._head.computed(features, *offsets, *labelled)
        started: list[Any] = []
        for place, *given in self._passes.downwards(at.by_features, folded, tape):
            own = state[PER_BLOCK * place : PER_BLOCK * place + 3]
            begin = begun if forked and place > 0 else at_once
            move = self._blocks[place].moved_from
            started.append(begin(move, *given, *own, *sizes_of[place]))
        moved = [tensor for each in reversed(started) for tensor in joined(each)]
        n_way = labelled[0].shape[1]
        by_head = {head.WEIGHT: at.by_weight, head.BIAS: at.by_bias}
        for name, offset in zip((head.WEIGHT, head.BIAS), offsets, strict=True):
            moving = name in self._head_sizes
            moved.append(offset - next(sizes) * n_way * by_head[name] if moving else offset)
        return at.loss, *moved

    def _looked_at(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The loss at a state, the features, and the head's rows."""
        (prepared, *labelled), state = inputs[:ROWS], inputs[ROWS:]
        features, *_ = self._passes.forwards(prepared, *self._folded(state))
        at = self._head.computed(features, *state[-2:], *labelled)
        return at.loss, features, at.weight, at.bias
