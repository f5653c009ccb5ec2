"""The blocks of Conv4 that adapt, as machine code: both passes, the step, and the whole loop.

Gradients are written by hand, in the order of the definition; the norm of stored statistics stays
folded into the convolution, and each block is computed by `winograd`. Weights are kept as
`(3 * 3, inputs, outputs)`, maps with channels innermost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..kernels.jit import Floats, compiled
from ..meta import head
from ..meta.params import Params, array_of
from ..networks.convolution import EPSILON, NormalisedConvolution
from . import direct, winograd
from .head_loops import Head, Labelled, gradients
from .winograd import Winners

KINDS = ("weight", "gain", "bias")


class Block(NamedTuple):
    """What stays of a block: stored statistics, and learned step sizes.

    The latter are `(steps, outputs)`, those of the weight `(steps, its numbers)` or `(steps, 1)`;
    zero for what does not adapt.
    """

    mean: Floats
    deviation: Floats
    weight_sizes: Floats
    gain_sizes: Floats
    bias_sizes: Floats


class State(NamedTuple):
    """What moves of a block, and the weight and the shift that it folds into.

    ``folded`` is transformed for `winograd`, `(4 * 4, inputs, outputs)`, or for `direct` as it is.
    """

    weight: Floats
    gain: Floats
    bias: Floats
    folded: Floats
    shift: Floats


class Tape(NamedTuple):
    """A block's maps in one share of the rows: what it gave, and the gradient by that."""

    pooled: Floats
    winners: Winners
    by_pooled: Floats


class Gradient(NamedTuple):
    """The gradients by what a block's tensors fold into."""

    folded: Floats
    shift: Floats


class Share(NamedTuple):
    """Rows of a support set that one thread computes together, `(row, height, width * inputs)`."""

    images: Floats
    tapes: tuple[Tape, ...]
    gradients: tuple[Gradient, ...]


class Loop(NamedTuple):
    """An inner loop without its blocks: a step for each of ``losses`` but the last.

    ``features`` are `(row, feature)`, ``head_sizes`` the `(steps, 2)` learned step sizes of the
    head's weight and bias.
    """

    head: Head
    labelled: Labelled
    start: int
    scale: np.float32
    head_sizes: Floats
    losses: Floats
    features: Floats


class MovingBlocks:
    """The blocks from the first one that adapts on, of one initialization."""

    def __init__(
        self,
        convolutions: Sequence[NormalisedConvolution],
        side: int,
        params: Params,
        step_sizes: Params,
        steps: int,
    ) -> None:
        """``side`` is that of the maps which the first of ``convolutions`` takes."""
        self._convolutions, self._side, self._step_sizes = convolutions, side, step_sizes
        self.blocks = tuple(
            Block(
                array_of(params[f"{one.name}.mean"]),
                array_of(torch.sqrt(params[f"{one.name}.variance"] + EPSILON)),
                _sizes(step_sizes.get(f"{one.name}.weight"), steps, 1),
                _sizes(step_sizes.get(f"{one.name}.gain"), steps, one.outputs),
                _sizes(step_sizes.get(f"{one.name}.bias"), steps, one.outputs),
            )
            for one in convolutions
        )
        self._start = self.states_of(params)

    def start(self) -> tuple[State, ...]:
        """Where an inner loop starts, to be moved."""
        return tuple(State(*(array.copy() for array in state)) for state in self._start)

    def states_of(self, params: Params) -> tuple[State, ...]:
        """The blocks with these tensors, by their names."""
        states = []
        for convolution, block in zip(self._convolutions, self.blocks, strict=True):
            weight, gain, bias = (params[f"{convolution.name}.{kind}"] for kind in KINDS)
            inputs, outputs = convolution.inputs, convolution.outputs
            state = State(
                array_of(weight.permute(2, 3, 1, 0).reshape(9, inputs, outputs)),
                array_of(gain),
                array_of(bias),
                np.empty((self._planes(convolution), inputs, outputs), np.float32),
                np.empty(outputs, np.float32),
            )
            fold(state, block)
            states.append(state)
        return tuple(states)

    def named(self, states: Sequence[State]) -> Params:
        """The tensors that adapt, by their names."""
        found: dict[str, torch.Tensor] = {}
        for convolution, state in zip(self._convolutions, states, strict=True):
            weight = torch.from_numpy(state.weight)
            square = weight.view(3, 3, convolution.inputs, convolution.outputs)
            tensors = (square.permute(3, 2, 0, 1), *map(torch.from_numpy, state[1:3]))
            for kind, tensor in zip(KINDS, tensors, strict=True):
                found[f"{convolution.name}.{kind}"] = tensor
        return {name: tensor for name, tensor in found.items() if name in self._step_sizes}

    def share(self, rows: torch.Tensor) -> Share:
        """Room for `(row, inputs, side, side)` of what the first block takes."""
        images = rows.permute(0, 2, 3, 1).contiguous().flatten(2).numpy()
        tapes, found = [], []
        side = self._side
        for convolution in self._convolutions:
            side //= 2
            shape = (len(images), side, side, convolution.outputs)
            winners = np.empty((len(images) * side * side, convolution.outputs), np.int32)
            tapes.append(Tape(np.empty(shape, np.float32), winners, np.empty(shape, np.float32)))
            inputs, outputs = convolution.inputs, convolution.outputs
            folded = np.empty((self._planes(convolution), inputs, outputs), np.float32)
            found.append(Gradient(folded, np.empty(outputs, np.float32)))
        return Share(images, tuple(tapes), tuple(found))

    def _planes(self, convolution: NormalisedConvolution) -> int:
        """The numbers of a weight that lie between an input and an output, as it is folded.

        `direct` is for the first block, whose inputs no gradient is asked for.
        """
        few = convolution.inputs <= direct.MOST_INPUTS
        return direct.TAPS if few and convolution is self._convolutions[0] else winograd.TILES

    def features(self, states: tuple[State, ...], rows: torch.Tensor) -> Floats:
        """`(row, feature)` of `(row, inputs, side, side)`."""
        share = self.share(rows)
        last = share.tapes[-1].pooled
        found = np.empty((len(last), last[0].size), np.float32)
        look(states, share, found)
        return found


def head_sizes_of(step_sizes: Params, steps: int) -> Floats:
    """`(steps, 2)` step sizes of the head's weight and bias."""
    names = (head.WEIGHT, head.BIAS)
    return np.concatenate([_sizes(step_sizes.get(name), steps, 1) for name in names], 1)


def _sizes(learned: torch.Tensor | None, steps: int, numbers: int) -> Floats:
    """`(steps, numbers)` step sizes: one for each number of a tensor, in its layout, or for all."""
    if learned is None:
        return np.zeros((steps, numbers), np.float32)
    if learned.dim() > 2:
        return array_of(learned.permute(0, 3, 4, 2, 1).flatten(1))
    return array_of(learned.reshape(steps, -1).expand(steps, max(numbers, learned[0].numel())))


@compiled
def fold(state: State, block: Block) -> None:
    """Bring the weight and the shift that a block folds into up to date."""
    scale = np.empty(len(state.gain), np.float32)
    for o in range(len(scale)):
        scale[o] = state.gain[o] / block.deviation[o]
        state.shift[o] = state.bias[o] - block.mean[o] * scale[o]
    if len(state.folded) == winograd.TILES:
        winograd.transform(state.weight, scale, state.folded)
    else:
        for tap in range(direct.TAPS):
            for i in range(state.weight.shape[1]):
                for o in range(len(scale)):
                    state.folded[tap, i, o] = state.weight[tap, i, o] * scale[o]


@compiled
def look(states: tuple[State, ...], share: Share, features: Floats) -> None:
    """One way forward: fills in the share's tapes and the `(row, feature)` features."""
    hidden = share.images
    for place in range(len(states)):
        tape, state = share.tapes[place], states[place]
        if len(state.folded) == winograd.TILES:
            winograd.forward(hidden, state.folded, state.shift, tape.pooled, tape.winners)
        else:
            direct.forward(hidden, state.folded, state.shift, tape.pooled, tape.winners)
        hidden = _flat(tape.pooled)
    last = share.tapes[len(states) - 1].pooled
    rows, down, across, outputs = last.shape
    for row in range(rows):
        for y in range(down):
            for x in range(across):
                for o in range(outputs):
                    features[row, (o * down + y) * across + x] = last[row, y, x, o]


@compiled
def look_back(states: tuple[State, ...], share: Share, by_features: Floats) -> None:
    """The gradients by every block, from that by the features that `look` gave."""
    last = share.tapes[len(states) - 1].by_pooled
    rows, down, across, outputs = last.shape
    for row in range(rows):
        for y in range(down):
            for x in range(across):
                for o in range(outputs):
                    last[row, y, x, o] = by_features[row, (o * down + y) * across + x]
    for place in range(len(states) - 1, -1, -1):
        hidden, by_hidden = share.images, share.images[:0]
        if place > 0:
            before = share.tapes[place - 1]
            hidden, by_hidden = _flat(before.pooled), _flat(before.by_pooled)
        folded, tape, by = states[place].folded, share.tapes[place], share.gradients[place]
        if len(folded) == winograd.TILES:
            winograd.backward(
                hidden, folded, tape.winners, tape.by_pooled, by.folded, by.shift, by_hidden
            )
        else:
            direct.backward(hidden, tape.winners, tape.by_pooled, by.folded, by.shift)


@compiled
def step(state: State, block: Block, gradient: Gradient, number: int) -> None:
    """Move a block along the gradients by what it folds into, by the step sizes of a number."""
    by_weight = gradient.folded
    if len(by_weight) == winograd.TILES:
        by_weight = np.empty_like(state.weight)
        winograd.transform_back(gradient.folded, by_weight)
    taps, inputs, outputs = by_weight.shape
    scale, by_scale = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    for o in range(outputs):
        scale[o] = state.gain[o] / block.deviation[o]
        by_scale[o] = -gradient.shift[o] * block.mean[o]
    sizes = block.weight_sizes[number]
    for row in range(taps * inputs):
        own, by_own = (
            state.weight[row // inputs, row % inputs],
            by_weight[row // inputs, row % inputs],
        )
        for o in range(outputs):
            by_scale[o] += by_own[o] * own[o]
        if len(sizes) == 1:
            for o in range(outputs):
                own[o] -= sizes[0] * by_own[o] * scale[o]
        else:
            each = sizes[row * outputs : (row + 1) * outputs]
            for o in range(outputs):
                own[o] -= each[o] * by_own[o] * scale[o]
    for o in range(outputs):
        state.gain[o] -= block.gain_sizes[number, o] * by_scale[o] / block.deviation[o]
        state.bias[o] -= block.bias_sizes[number, o] * gradient.shift[o]
    fold(state, block)


@compiled
def look_at_head(given: Loop, number: int, by_features: Floats) -> None:
    """The loss of a number, and the gradients of it by the head and by the features."""
    given.losses[number] = gradients(
        given.features, given.head, given.labelled, given.start, given.scale, by_features
    )


@compiled
def step_head(given: Loop, number: int) -> None:
    """Move a head along its gradients: each row gets one n-th of them, and steps n times as far."""
    rows, sizes = given.head, given.head_sizes[number]
    n_way = len(rows.bias)
    for label in range(n_way):
        rows.moved_bias[label] -= sizes[1] * n_way * rows.by_bias[label]
        for place in range(rows.weight.shape[1]):
            rows.moved_weight[label, place] -= sizes[0] * n_way * rows.by_weight[label, place]


@compiled
def loop(blocks: tuple[Block, ...], states: tuple[State, ...], share: Share, given: Loop) -> None:
    """The inner loop by one thread; what it is given is left as it ends."""
    by_features = np.empty_like(given.features)
    last = len(given.losses) - 1
    for number in range(last + 1):
        look(states, share, given.features)
        look_at_head(given, number, by_features)
        if number < last:
            learned = min(number, len(given.head_sizes) - 1)
            look_back(states, share, by_features)
            for place in range(len(states)):
                step(states[place], blocks[place], share.gradients[place], learned)
            step_head(given, learned)


@compiled
def loop_of_head(given: Loop) -> None:
    """`loop` where the head alone adapts, whose features stay."""
    by_features = np.empty_like(given.features)
    last = len(given.losses) - 1
    for number in range(last + 1):
        look_at_head(given, number, by_features)
        if number < last:
            step_head(given, min(number, len(given.head_sizes) - 1))


@compiled
def _flat(maps: Floats) -> Floats:
    """`(row, height, width, channel)` to `(row, height, width * channel)`."""
    rows, height, width, channels = maps.shape
    return maps.reshape(rows, height, width * channels)
