"""The blocks of Conv4 that adapt: forward, backward, step, and the whole inner loop as one call.

Gradients are written by hand, in the order of the definition (`meta.inner_loop`). The norm of
stored statistics is affine, so it is folded into the convolution: scale = gain / deviation,
shift = bias - mean * scale. Weights are `(3 * 3, input, output)`, maps have channels innermost.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import direct_conv, head, winograd
from .head import Head, Labels
from .jit import Floats, compiled
from .winograd import Argmax


class BlockSettings(NamedTuple):
    """What stays of a block: stored statistics `(output,)`, and learned step sizes.

    The latter are `(steps, output)`, those of the weight `(steps, number)` or `(steps, 1)`; zero
    for what does not adapt.
    """

    mean: Floats
    deviation: Floats
    weight_sizes: Floats
    gain_sizes: Floats
    bias_sizes: Floats


class BlockWeights(NamedTuple):
    """What adapts of a block, and the weight and the shift that it folds into.

    ``folded`` is transformed for `winograd`, `(4 * 4, input, output)`, or for `direct_conv`
    `(3 * 3, input, output)`: its length tells which of the two computes the block.
    """

    weight: Floats
    gain: Floats
    bias: Floats
    folded: Floats
    shift: Floats


class BlockTape(NamedTuple):
    """What a block's forward leaves for its backward, and what that writes, for one shard."""

    pooled: Floats
    argmax: Argmax
    d_pooled: Floats
    d_folded: Floats
    d_shift: Floats


class Shard(NamedTuple):
    """Rows of a support set that one thread computes, `(row, height, width * input)`."""

    images: Floats
    tapes: tuple[BlockTape, ...]


@compiled
def fold(weights: BlockWeights, settings: BlockSettings) -> None:
    """Bring ``folded`` and ``shift`` up to date with weight, gain and bias."""
    scale = np.empty(len(weights.gain), np.float32)
    for o in range(len(scale)):
        scale[o] = weights.gain[o] / settings.deviation[o]
        weights.shift[o] = weights.bias[o] - settings.mean[o] * scale[o]
    if len(weights.folded) == winograd.PLANES:
        winograd.transform(weights.weight, scale, weights.folded)
    else:
        for tap in range(direct_conv.TAPS):
            for i in range(weights.weight.shape[1]):
                for o in range(len(scale)):
                    weights.folded[tap, i, o] = weights.weight[tap, i, o] * scale[o]


@compiled
def forward(blocks: tuple[BlockWeights, ...], shard: Shard, features: Floats) -> None:
    """Run all blocks on a shard.

    Reads the blocks' ``folded`` and ``shift`` and the shard's images; writes its tapes' ``pooled``
    and ``argmax``, and ``features`` `(row, feature)`.
    """
    hidden = shard.images
    for block in range(len(blocks)):
        tape, weights = shard.tapes[block], blocks[block]
        if len(weights.folded) == winograd.PLANES:
            winograd.forward(hidden, weights.folded, weights.shift, tape.pooled, tape.argmax)
        else:
            direct_conv.forward(hidden, weights.folded, weights.shift, tape.pooled, tape.argmax)
        hidden = _flat(tape.pooled)
    # Features are flattened channel by channel, as the definition has them.
    last = shard.tapes[len(blocks) - 1].pooled
    rows, down, across, outputs = last.shape
    for row in range(rows):
        for y in range(down):
            for x in range(across):
                for o in range(outputs):
                    features[row, (o * down + y) * across + x] = last[row, y, x, o]


@compiled
def backward(blocks: tuple[BlockWeights, ...], shard: Shard, d_features: Floats) -> None:
    """The gradients of all blocks, from that by the features that `forward` wrote.

    Reads what `forward` read and wrote, and ``d_features`` `(row, feature)`; writes the tapes'
    ``d_pooled``, ``d_folded`` and ``d_shift``.
    """
    last = shard.tapes[len(blocks) - 1].d_pooled
    rows, down, across, outputs = last.shape
    for row in range(rows):
        for y in range(down):
            for x in range(across):
                for o in range(outputs):
                    last[row, y, x, o] = d_features[row, (o * down + y) * across + x]
    for block in range(len(blocks) - 1, -1, -1):
        # Before the first block lie frozen features: no gradient goes on from there.
        hidden, d_hidden = shard.images, shard.images[:0]
        if block > 0:
            before = shard.tapes[block - 1]
            hidden, d_hidden = _flat(before.pooled), _flat(before.d_pooled)
        folded, tape = blocks[block].folded, shard.tapes[block]
        if len(folded) == winograd.PLANES:
            winograd.backward(
                hidden, folded, tape.argmax, tape.d_pooled, tape.d_folded, tape.d_shift, d_hidden
            )
        else:
            direct_conv.backward(hidden, tape.argmax, tape.d_pooled, tape.d_folded, tape.d_shift)


@compiled
def step(weights: BlockWeights, settings: BlockSettings, tape: BlockTape, number: int) -> None:
    """Move a block along its gradients, by the step sizes of a ``number``.

    Reads ``d_folded`` and ``d_shift``; writes all of ``weights``.
    """
    d_weight = tape.d_folded
    if len(d_weight) == winograd.PLANES:
        d_weight = np.empty_like(weights.weight)
        winograd.transform_backward(tape.d_folded, d_weight)
    taps, inputs, outputs = d_weight.shape
    scale, d_scale = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    # The scale acts by way of the folded weight and of the shift, and so does its gradient.
    for o in range(outputs):
        scale[o] = weights.gain[o] / settings.deviation[o]
        d_scale[o] = -tape.d_shift[o] * settings.mean[o]
    sizes = settings.weight_sizes[number]
    for row in range(taps * inputs):
        own, d_own = (
            weights.weight[row // inputs, row % inputs],
            d_weight[row // inputs, row % inputs],
        )
        # Before the step: the gradient by the scale is that at the weight as it was.
        for o in range(outputs):
            d_scale[o] += d_own[o] * own[o]
        if len(sizes) == 1:
            for o in range(outputs):
                own[o] -= sizes[0] * d_own[o] * scale[o]
        else:
            each = sizes[row * outputs : (row + 1) * outputs]
            for o in range(outputs):
                own[o] -= each[o] * d_own[o] * scale[o]
    for o in range(outputs):
        weights.gain[o] -= settings.gain_sizes[number, o] * d_scale[o] / settings.deviation[o]
        weights.bias[o] -= settings.bias_sizes[number, o] * tape.d_shift[o]
    fold(weights, settings)


@compiled
def inner_loop(
    blocks: tuple[BlockWeights, ...],
    settings: tuple[BlockSettings, ...],
    shard: Shard,
    labels: Labels,
    classifier: Head,
    features: Floats,
    losses: Floats,
) -> None:
    """The inner loop by one thread, all rows in one shard: a step for each loss but the last.

    Reads settings, the shard's images and the labels; writes the blocks and the head as they end,
    ``features`` `(row, feature)` and ``losses`` `(steps + 1,)`.
    """
    d_features = np.empty_like(features)
    last = len(losses) - 1
    for number in range(last + 1):
        forward(blocks, shard, features)
        losses[number] = head.loss_and_gradients(features, labels, classifier, d_features)
        if number < last:
            # Steps beyond the learned ones reuse the last step sizes.
            learned = min(number, len(classifier.step_sizes) - 1)
            backward(blocks, shard, d_features)
            for block in range(len(blocks)):
                step(blocks[block], settings[block], shard.tapes[block], learned)
            head.step(classifier, learned)


@compiled
def inner_loop_of_head(labels: Labels, classifier: Head, features: Floats, losses: Floats) -> None:
    """`inner_loop` where the head alone adapts, whose ``features`` stay."""
    d_features = np.empty_like(features)
    last = len(losses) - 1
    for number in range(last + 1):
        losses[number] = head.loss_and_gradients(features, labels, classifier, d_features)
        if number < last:
            head.step(classifier, min(number, len(classifier.step_sizes) - 1))


@compiled
def _flat(maps: Floats) -> Floats:
    """View `(row, height, width, channel)` maps as `(row, height, width * channel)`."""
    rows, height, width, channels = maps.shape
    return maps.reshape(rows, height, width * channels)
