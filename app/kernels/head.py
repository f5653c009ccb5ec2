"""The head: its logits, its loss and the gradients of that in closed form.

`meta.head` and `meta.inner_loop` define them. A row is one view of one image: support sets have
`(row, feature)` features, image by image, each image's views one after another.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .jit import Floats, compiled

ZERO, CLASS_MEANS, COSINE = 0, 1, 2
"""Where a head starts."""
EPSILON = np.float32(1e-12)
"""Shortest length that a vector is divided by, as `torch.nn.functional.normalize` has it."""


class Labels(NamedTuple):
    """The classes of rows `(row,)`, the part of each in its class's mean, and in the loss."""

    classes: NDArray[np.int64]
    in_mean: Floats
    in_loss: Floats


class Head(NamedTuple):
    """A head in an inner loop: where it is, how far it stepped, and the gradients by that.

    ``weight`` `(n_way, feature)` and ``bias`` `(n_way,)` are its start (`ZERO` and so on) plus the
    offsets, which are what steps. ``scale`` multiplies the logits; ``step_sizes`` `(steps, 2)`
    are those of weight and bias.
    """

    weight: Floats
    bias: Floats
    offset_weight: Floats
    offset_bias: Floats
    d_weight: Floats
    d_bias: Floats
    start: int
    scale: np.float32
    step_sizes: Floats


@compiled
def logits_over_views(
    features: Floats,
    n_views: int,
    weight: Floats,
    bias: Floats,
    scale: np.float32,
    logits: Floats,
) -> None:
    """Classify each image by the mean of the unit features of its first ``n_views`` rows.

    Reads ``features`` `(image * view, feature)`, ``weight`` `(n_way, feature)` and ``bias``
    `(n_way,)`; writes ``logits`` `(image, n_way)`.
    """
    each, size = len(features) // len(logits), features.shape[1]
    for image in range(len(logits)):
        middle, direction = np.zeros(size, np.float32), np.zeros(size, np.float32)
        for view in range(n_views):
            _add_unit(features[image * each + view], middle)
        # The sum stands for the mean: only its direction counts.
        _add_unit(middle, direction)
        for label in range(len(bias)):
            logits[image, label] = scale * (_dot(direction, weight[label]) + bias[label])


@compiled
def loss_and_gradients(features: Floats, labels: Labels, head: Head, d_features: Floats) -> float:
    """Give the support loss in nats, and its gradients by the head's offsets and the features.

    Reads ``features`` `(row, feature)`, ``labels`` and the head's offsets; writes its weight,
    bias and gradients, and ``d_features`` `(row, feature)`.
    """
    unit, lengths = _units(features)
    means = np.zeros(head.weight.shape, np.float32)
    if head.start != ZERO:
        for row in range(len(unit)):
            _add(unit[row], labels.in_mean[row], means[labels.classes[row]])
    directions, mean_lengths = _units(means)
    _from_start(head, means, directions)
    # One array for both: a row's logits are done with when its gradient is written.
    d_logits = np.dot(unit, head.weight.T)
    loss = _cross_entropy(d_logits, labels, head)
    np.dot(d_logits.T, unit, head.d_weight)
    head.d_bias[:] = 0
    for row in range(len(unit)):
        _add(d_logits[row], np.float32(1), head.d_bias)
    np.dot(d_logits, head.weight, d_features)
    if head.start != ZERO:
        _add_through_means(head, labels, means, directions, mean_lengths, d_features)
    for row in range(len(unit)):
        _through_unit(d_features[row], unit[row], lengths[row], d_features[row])
    return loss


@compiled
def step(head: Head, number: int) -> None:
    """Move the offsets along their gradients, by the step sizes of a ``number``.

    The loss weighs classes equally, so a row gets one n-th of the gradient: it steps n times as
    far, and learns as fast at any number of classes.
    """
    n_way, sizes = len(head.bias), head.step_sizes[number]
    for label in range(n_way):
        head.offset_bias[label] -= sizes[1] * n_way * head.d_bias[label]
        for k in range(head.weight.shape[1]):
            head.offset_weight[label, k] -= sizes[0] * n_way * head.d_weight[label, k]


@compiled
def _from_start(head: Head, means: Floats, directions: Floats) -> None:
    """Write weight and bias: the start, from class ``means`` or ``directions``, and the offset."""
    for label in range(len(means)):
        row = head.weight[label]
        row[:] = head.offset_weight[label]
        head.bias[label] = head.offset_bias[label]
        if head.start == CLASS_MEANS:
            # f.m - |m|^2 / 2 is -|f - m|^2 / 2, but for what is the same for all classes.
            _add(means[label], np.float32(1), row)
            head.bias[label] -= _dot(means[label], means[label]) / 2
        elif head.start == COSINE:
            _add(directions[label], np.float32(1), row)


@compiled
def _cross_entropy(products: Floats, labels: Labels, head: Head) -> float:
    """Turn ``products`` `(row, n_way)` of features and weight into the gradients by them.

    Gives the loss in nats, which weighs classes equally.
    """
    loss, bias, scale = 0.0, head.bias, head.scale
    for row in range(len(products)):
        logits, label, share = products[row], labels.classes[row], labels.in_loss[row]
        highest = np.float32(-np.inf)
        for k in range(len(bias)):
            logits[k] = scale * (logits[k] + bias[k])
            highest = max(highest, logits[k])
        # Beside the highest logit no exponential overflows.
        chosen, total = logits[label] - highest, np.float32(0)
        for k in range(len(bias)):
            logits[k] = math.exp(logits[k] - highest)
            total += logits[k]
        loss -= share * (chosen - math.log(total))
        for k in range(len(bias)):
            logits[k] *= share * scale / total
        logits[label] -= share * scale
    return loss


@compiled
def _add_through_means(
    head: Head,
    labels: Labels,
    means: Floats,
    directions: Floats,
    mean_lengths: Floats,
    d_features: Floats,
) -> None:
    """Add what the features move by way of the class means that the head starts at.

    Reads the head's gradients; adds to ``d_features`` `(row, feature)`; ``means`` are lost.
    """
    # Their room takes the gradient by them, row by row.
    d_means = means
    for label in range(len(means)):
        d_row = head.d_weight[label]
        if head.start == COSINE:
            _through_unit(d_row, directions[label], mean_lengths[label], d_means[label])
        else:
            for k in range(len(d_row)):
                d_norm = head.d_bias[label] * means[label, k]
                d_means[label, k] = d_row[k] - d_norm
    for row in range(len(d_features)):
        _add(d_means[labels.classes[row]], labels.in_mean[row], d_features[row])


@compiled
def _units(vectors: Floats) -> tuple[Floats, Floats]:
    """Give `(row, feature)` vectors at length 1, and their lengths `(row,)`."""
    unit, lengths = np.empty_like(vectors), np.empty(len(vectors), np.float32)
    for row in range(len(vectors)):
        length = np.float32(math.sqrt(_dot(vectors[row], vectors[row])))
        lengths[row] = max(length, EPSILON)
        for k in range(vectors.shape[1]):
            unit[row, k] = vectors[row, k] / lengths[row]
    return unit, lengths


@compiled
def _add_unit(vector: Floats, total: Floats) -> None:
    """Add a vector at length 1 to ``total``, both `(feature,)`."""
    length = max(np.float32(math.sqrt(_dot(vector, vector))), EPSILON)
    for k in range(len(vector)):
        total[k] += vector[k] / length


@compiled
def _through_unit(d_unit: Floats, unit: Floats, length: np.float32, d_vector: Floats) -> None:
    """Write the gradient by a vector of ``length`` from that by it at length 1.

    All `(feature,)`; the two gradients may be the same array.
    """
    # What points along the vector changes nothing: the length is divided out.
    along = _dot(unit, d_unit)
    for k in range(len(unit)):
        d_vector[k] = (d_unit[k] - unit[k] * along) / length


@compiled
def _dot(left: Floats, right: Floats) -> np.float32:
    total = np.float32(0)
    for k in range(len(left)):
        total += left[k] * right[k]
    return total


@compiled
def _add(vector: Floats, factor: np.float32, total: Floats) -> None:
    for k in range(len(vector)):
        total[k] += factor * vector[k]
