"""The head as machine code: its logits, its loss and the gradients of that in closed form.

`meta.head` and `meta.inner_loop` define them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.jit import Floats, compiled
from ..meta.head import HeadStart

STARTS: dict[HeadStart, int] = {"zero": 0, "class_means": 1, "cosine": 2}
CLASS_MEANS, COSINE = STARTS["class_means"], STARTS["cosine"]
EPSILON = np.float32(1e-12)
"""Shortest length that a vector is divided by, as `torch.nn.functional.normalize` has it."""


class Labelled(NamedTuple):
    """Rows of a support set: their classes, their shares of the class's mean, and of the loss."""

    labels: NDArray[np.int64]
    shares: Floats
    weights: Floats


class Head(NamedTuple):
    """A head's rows, `(n_way, feature)` and `(n_way,)`.

    And how far they moved from their start, and the gradients of the loss by that.
    """

    weight: Floats
    bias: Floats
    moved_weight: Floats
    moved_bias: Floats
    by_weight: Floats
    by_bias: Floats


def still(n_way: int, feature_size: int) -> Head:
    """A head that has not moved."""
    rows, bias = (n_way, feature_size), (n_way,)
    shapes = (rows, bias, rows, bias, rows, bias)
    return Head(*(np.zeros(shape, np.float32) for shape in shapes))


@compiled
def scores(
    features: Floats,
    n_seen: int,
    weight: Floats,
    bias: Floats,
    scale: np.float32,
    logits: Floats,
) -> None:
    """`(image, n_way)` logits from `(image * view, feature)` features: `logits_over_views`.

    An image is classified by the mean of the unit features of its first ``n_seen`` views.
    """
    each, size = len(features) // len(logits), features.shape[1]
    for image in range(len(logits)):
        middle, direction = np.zeros(size, np.float32), np.zeros(size, np.float32)
        for view in range(n_seen):
            add_unit(features[image * each + view], middle)
        add_unit(middle, direction)
        for label in range(len(bias)):
            logits[image, label] = scale * (_dot(direction, weight[label]) + bias[label])


@compiled
def add_unit(vector: Floats, total: Floats) -> None:
    """Add a vector scaled to length 1, as `head.unit` does, to a sum."""
    length = max(np.float32(math.sqrt(_dot(vector, vector))), EPSILON)
    for place in range(len(vector)):
        total[place] += vector[place] / length


@compiled
def gradients(
    features: Floats,
    head: Head,
    labelled: Labelled,
    start: int,
    scale: np.float32,
    by_features: Floats,
) -> float:
    """Bring the head's rows and gradients up to date with `(row, feature)` features.

    Gives the loss in nats.
    """
    unit, lengths = _units(features)
    means = np.zeros(head.weight.shape, np.float32)
    if start != 0:
        for row in range(len(unit)):
            _add(unit[row], labelled.shares[row], means[labelled.labels[row]])
    directions, mean_lengths = _units(means)
    _place(head, means, directions, start)
    by_scores = np.dot(unit, head.weight.T)
    loss = _by_scores(by_scores, head.bias, labelled, scale)
    np.dot(by_scores.T, unit, head.by_weight)
    head.by_bias[:] = 0
    for row in range(len(unit)):
        _add(by_scores[row], np.float32(1), head.by_bias)
    np.dot(by_scores, head.weight, by_features)
    if start != 0:
        by_means = means
        for label in range(len(means)):
            by_row = head.by_weight[label]
            if start == COSINE:
                _through_unit(by_row, directions[label], mean_lengths[label], by_means[label])
            else:
                for place in range(len(by_row)):
                    by_norm = head.by_bias[label] * means[label, place]
                    by_means[label, place] = by_row[place] - by_norm
        for row in range(len(unit)):
            _add(by_means[labelled.labels[row]], labelled.shares[row], by_features[row])
    for row in range(len(unit)):
        _through_unit(by_features[row], unit[row], lengths[row], by_features[row])
    return loss


@compiled
def _place(head: Head, means: Floats, directions: Floats, start: int) -> None:
    """Bring the head's rows up to date, from its start and how far it moved from there."""
    for label in range(len(means)):
        row = head.weight[label]
        row[:] = head.moved_weight[label]
        head.bias[label] = head.moved_bias[label]
        if start == CLASS_MEANS:
            _add(means[label], np.float32(1), row)
            head.bias[label] -= _dot(means[label], means[label]) / 2
        elif start == COSINE:
            _add(directions[label], np.float32(1), row)


@compiled
def _by_scores(scores: Floats, bias: Floats, labelled: Labelled, scale: np.float32) -> float:
    """Turn products of features and weights into the gradients by them; gives the loss."""
    loss = 0.0
    for row in range(len(scores)):
        own, label, weight = scores[row], labelled.labels[row], labelled.weights[row]
        highest = np.float32(-np.inf)
        for place in range(len(bias)):
            own[place] = scale * (own[place] + bias[place])
            highest = max(highest, own[place])
        chosen, total = own[label] - highest, np.float32(0)
        for place in range(len(bias)):
            own[place] = math.exp(own[place] - highest)
            total += own[place]
        loss -= weight * (chosen - math.log(total))
        for place in range(len(bias)):
            own[place] *= weight * scale / total
        own[label] -= weight * scale
    return loss


@compiled
def _units(vectors: Floats) -> tuple[Floats, Floats]:
    """Rows at length 1, and their lengths."""
    unit, lengths = np.empty_like(vectors), np.empty(len(vectors), np.float32)
    for row in range(len(vectors)):
        length = np.float32(math.sqrt(_dot(vectors[row], vectors[row])))
        lengths[row] = max(length, EPSILON)
        for place in range(vectors.shape[1]):
            unit[row, place] = vectors[row, place] / lengths[row]
    return unit, lengths


@compiled
def _through_unit(by_unit: Floats, unit: Floats, length: np.float32, by_vector: Floats) -> None:
    """The gradient by a vector from that by it at length 1."""
    along = _dot(unit, by_unit)
    for place in range(len(unit)):
        by_vector[place] = (by_unit[place] - unit[place] * along) / length


@compiled
def _dot(one: Floats, other: Floats) -> np.float32:
    total = np.float32(0)
    for place in range(len(one)):
        total += one[place] * other[place]
    return total


@compiled
def _add(vector: Floats, share: np.float32, total: Floats) -> None:
    for place in range(len(vector)):
        total[place] += share * vector[place]
