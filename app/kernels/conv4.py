"""The adapted blocks of Conv4: forward, backward and step.

`networks.conv4` and `meta.inner_loop` define them. With w a weight, g a gain, b a bias, and the
stored mean m and deviation s, a block is a convolution by w g / s and a shift of b - m g / s: both
are folded once a step, and the gradients of w, g and b are taken from those of these two. So the
norm costs a pass over the weights in place of several over the maps.

Layout: weights are `(3 * 3, inputs, outputs)`, maps `(row, height, width, channel)`. Blocks lie in
tuples of equal types, which numba indexes and compiles once for any number of blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import direct_conv, winograd
from .jit import Floats, compiled
from .winograd_tiles import TILE_NUMBERS, Argmax


class Constants(NamedTuple):
    """What stays of a block: the stored ``mean`` and ``deviation`` `(outputs,)`, and step sizes.

    The latter are `(step, outputs)`, those of the weight `(step, 3 * 3 * inputs * outputs)` or
    `(step, 1)`; zero for what does not adapt.
    """

    mean: Floats
    deviation: Floats
    weight_sizes: Floats
    gain_sizes: Floats
    bias_sizes: Floats


class Weights(NamedTuple):
    """What adapts of a block, and the weight and the ``shift`` `(outputs,)` that it folds into.

    ``folded`` is transformed for `winograd`, `(4 * 4, inputs, outputs)`, or as it is for
    `direct_conv`, `(3 * 3, inputs, outputs)`.
    """

    weight: Floats
    gain: Floats
    bias: Floats
    folded: Floats
    shift: Floats


class Tape(NamedTuple):
    """What a block leaves behind in a pass over one shard of the rows.

    Forward ``pooled`` and ``argmax``, backward the gradients of what the names say. ``pooled`` is
    `(row, height, width, outputs)`, ``argmax`` `(row * height * width, outputs)`, ``d_folded``
    and ``d_shift`` are shaped as in `Weights`.
    """

    pooled: Floats
    argmax: Argmax
    d_pooled: Floats
    d_folded: Floats
    d_shift: Floats


@compiled
def fold(constants: Constants, weights: Weights) -> None:
    """Fold the norm into the convolution.

    Reads the mean and deviation of ``constants`` and the weight, gain and bias of ``weights``;
    writes its folded weight and shift.
    """
    # Divided by s anew: the gain has moved, the deviation is stored.
    scale = np.empty(len(weights.gain), np.float32)
    for o in range(len(scale)):
        scale[o] = weights.gain[o] / constants.deviation[o]
        weights.shift[o] = weights.bias[o] - constants.mean[o] * scale[o]
    # The number of planes tells which kernel a block is for: see `Weights`.
    if len(weights.folded) == TILE_NUMBERS:
        winograd.transform_weight(weights.weight, scale, weights.folded)
    else:
        direct_conv.scale_weight(weights.weight, scale, weights.folded)


@compiled
def forward(
    images: Floats, weights: tuple[Weights, ...], tapes: tuple[Tape, ...], out_features: Floats
) -> None:
    """Run a shard of rows through all blocks.

    Reads ``images`` `(row, height, width * inputs)`, which are what frozen blocks made of them
    where there are such, and the folded ``weights``; writes the forward half of ``tapes`` and
    ``out_features`` `(row, outputs * height * width)` of the last maps.
    """
    maps = images
    for block in range(len(weights)):
        own, tape = weights[block], tapes[block]
        if len(own.folded) == TILE_NUMBERS:
            winograd.forward(maps, own.folded, own.shift, tape.pooled, tape.argmax)
        else:
            direct_conv.forward(maps, own.folded, own.shift, tape.pooled, tape.argmax)
        # Pooled maps stay on the tape: the next block reads them twice, in both directions.
        maps = _flat(tape.pooled)
    # Feature vectors have channels outermost, as `torch.flatten` leaves them: the rows of stored
    # heads are in this order.
    last = tapes[len(weights) - 1].pooled
    rows, down, across, outputs = last.shape
    for row in range(rows):
        for y in range(down):
            for x in range(across):
                for o in range(outputs):
                    out_features[row, (o * down + y) * across + x] = last[row, y, x, o]


@compiled
def backward(
    images: Floats, weights: tuple[Weights, ...], d_features: Floats, tapes: tuple[Tape, ...]
) -> None:
    """The gradients of all blocks, for a shard of rows.

    Reads ``images``, ``weights`` and the forward half of ``tapes`` as `forward` has left them,
    and ``d_features`` in the shape of its features; writes the backward half of ``tapes``.
    """
    # The transposition of `forward`'s last lines, which a feature's gradient takes back.
    last = tapes[len(weights) - 1].d_pooled
    rows, down, across, outputs = last.shape
    for row in range(rows):
        for y in range(down):
            for x in range(across):
                for o in range(outputs):
                    last[row, y, x, o] = d_features[row, (o * down + y) * across + x]
    for block in range(len(weights) - 1, -1, -1):
        # Nothing before the first of these adapts: no rows, no gradient of its input.
        maps, d_maps = images, images[:0]
        if block > 0:
            before = tapes[block - 1]
            maps, d_maps = _flat(before.pooled), _flat(before.d_pooled)
        folded, tape = weights[block].folded, tapes[block]
        if len(folded) == TILE_NUMBERS:
            winograd.backward(
                maps, folded, tape.argmax, tape.d_pooled, tape.d_folded, tape.d_shift, d_maps
            )
        else:
            direct_conv.backward(maps, tape.argmax, tape.d_pooled, tape.d_folded, tape.d_shift)


@compiled
def step(constants: Constants, tape: Tape, number: int, weights: Weights) -> None:
    """Take one step with a block, and fold it again.

    Reads ``constants``, whose step sizes are those of the learned step ``number``, and the
    gradients of ``tape``, summed over shards; writes all of ``weights``.
    """
    d_weight = tape.d_folded
    if len(d_weight) == TILE_NUMBERS:
        # G is linear and fixed, so the weight can step where it is stored, and is transformed anew.
        d_weight = np.empty_like(weights.weight)
        winograd.weight_gradient(tape.d_folded, d_weight)
    # What comes here is the gradient by w g / s; the chain rule gives those by w and by g.
    taps, inputs, outputs = d_weight.shape
    scale, d_scale = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    # The gain acts through the scale g / s of the weight, and of the mean in the shift.
    for o in range(outputs):
        scale[o] = weights.gain[o] / constants.deviation[o]
        d_scale[o] = -tape.d_shift[o] * constants.mean[o]
    # One size for the whole weight, or one for each of its numbers (Meta-SGD).
    sizes = constants.weight_sizes[number]
    for row in range(taps * inputs):
        # A line of outputs at a time, along which sizes and scale lie as well.
        own, d_own = (
            weights.weight[row // inputs, row % inputs],
            d_weight[row // inputs, row % inputs],
        )
        # The weight before its step counts: the gain's gradient is of the same point.
        for o in range(outputs):
            d_scale[o] += d_own[o] * own[o]
        if len(sizes) == 1:
            for o in range(outputs):
                own[o] -= sizes[0] * d_own[o] * scale[o]
        else:
            each = sizes[row * outputs : (row + 1) * outputs]
            for o in range(outputs):
                own[o] -= each[o] * d_own[o] * scale[o]
    # After the weight, whose step needs the gain as it was (in ``scale``).
    for o in range(outputs):
        weights.gain[o] -= constants.gain_sizes[number, o] * d_scale[o] / constants.deviation[o]
        weights.bias[o] -= constants.bias_sizes[number, o] * tape.d_shift[o]
    fold(constants, weights)


@compiled
def _flat(maps: Floats) -> Floats:
    """`(row, height, width, channel)` to `(row, height, width * channel)`, in place."""
    rows, height, width, channels = maps.shape
    return maps.reshape(rows, height, width * channels)
