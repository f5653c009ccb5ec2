"""The head: its logits, its loss, and the gradients of that in closed form.

`meta.head` and `meta.inner_loop` define them. With f a feature vector, u = f / |f|, m a class mean
of unit vectors, W and b the rows of the head and s the scale, the logits are s (W u + b); W and b
are a start, which may depend on m, plus an offset that steps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .jit import Floats, compiled

ZERO, CLASS_MEANS, COSINE = 0, 1, 2
"""Where the rows start: at zero, at m and -|m|^2 / 2, or at m / |m|."""
EPSILON = np.float32(1e-12)
"""Shortest length that a vector is divided by, as `torch.nn.functional.normalize` has it."""


class HeadSettings(NamedTuple):
    """What stays of a head in an inner loop: rows' classes, its start, scale and step sizes.

    ``labels`` `(row,)`; ``shares`` `(row,)` one n-th for each row of a class with n; ``sizes``
    `(step, 2)`.
    """

    labels: NDArray[np.int64]
    shares: Floats
    start: int
    scale: np.float32
    sizes: Floats


class Head(NamedTuple):
    """The rows of a head, how far they stepped from their start, and their gradients.

    Each weight is `(way, feature)`, each bias `(way,)`.
    """

    weight: Floats
    bias: Floats
    offset_weight: Floats
    offset_bias: Floats
    d_weight: Floats
    d_bias: Floats


@compiled
def logits(
    features: Floats,
    n_seen: int,
    weight: Floats,
    bias: Floats,
    scale: np.float32,
    out_logits: Floats,
) -> None:
    """The logits of images that are classified by their mean over views: `logits_over_views`.

    Reads ``features`` `(image * view, feature)`, of which the first ``n_seen`` of each image
    count, and the head's ``weight`` `(way, feature)` and ``bias`` `(way,)`; writes ``out_logits``
    `(image, way)`.
    """
    # Support images bring all views, though queries may count fewer of them.
    n_views, size = len(features) // len(out_logits), features.shape[1]
    for image in range(len(out_logits)):
        mean, direction = np.zeros(size, np.float32), np.zeros(size, np.float32)
        for view in range(n_seen):
            _add_unit(features[image * n_views + view], mean)
        # The sum serves as the mean: only its direction is compared with the rows.
        _add_unit(mean, direction)
        for label in range(len(bias)):
            out_logits[image, label] = scale * (_dot(direction, weight[label]) + bias[label])


@compiled
def loss_and_gradients(
    features: Floats,
    labels: NDArray[np.int64],
    shares: Floats,
    start: int,
    scale: np.float32,
    head: Head,
    out_d_features: Floats,
) -> float:
    """The class-balanced cross-entropy in nats, and its gradients.

    Reads ``features`` `(row, feature)`, the class of each row, ``labels`` `(row,)`, one n-th for
    each row of a class with n, ``shares`` `(row,)`, and the offsets of ``head``; writes the rows
    and the gradients of ``head``, and ``out_d_features`` `(row, feature)`.
    """
    # Lengths are kept for the way back, which divides by them.
    unit, lengths = _units(features)
    # Means of unit vectors are shorter than 1, the more so the more a class varies.
    means = np.zeros(head.weight.shape, np.float32)
    if start != ZERO:
        for row in range(len(unit)):
            _add(unit[row], shares[row], means[labels[row]])
    directions, mean_lengths = _units(means)
    _place(head, means, directions, start)
    # From here on `d_logits` holds W u, then the gradient by it: small, it stays in the cache.
    d_logits = np.dot(unit, head.weight.T)
    loss = _cross_entropy(d_logits, head.bias, labels, shares, scale)
    # The offset is added to the start, so that the gradient by a row is that by its offset.
    np.dot(d_logits.T, unit, head.d_weight)
    head.d_bias[:] = 0
    for row in range(len(unit)):
        _add(d_logits[row], np.float32(1), head.d_bias)
    np.dot(d_logits, head.weight, out_d_features)
    if start != ZERO:
        # The start follows the features in every step, so that their gradient runs through the
        # class means as well (see `meta.inner_loop`).
        d_means = means
        for label in range(len(means)):
            d_row = head.d_weight[label]
            if start == COSINE:
                _through_unit(d_row, directions[label], mean_lengths[label], d_means[label])
            else:
                for k in range(len(d_row)):
                    # The bias is -|m|^2 / 2, whose gradient is -m.
                    d_norm = head.d_bias[label] * means[label, k]
                    d_means[label, k] = d_row[k] - d_norm
        for row in range(len(unit)):
            _add(d_means[labels[row]], shares[row], out_d_features[row])
    # Both ways to a feature vector, by its logits and by its class mean, end in its length.
    for row in range(len(unit)):
        _through_unit(out_d_features[row], unit[row], lengths[row], out_d_features[row])
    return loss


@compiled
def step(sizes: Floats, head: Head) -> None:
    """Move the offsets against their gradients.

    Reads the step ``sizes`` `(2,)` of the weight and the bias, and the gradients of ``head``;
    writes its offsets.
    """
    # The loss weighs classes equally, which leaves each row one n-th of a gradient: it steps n
    # times as far, and so learns at the same speed at any number of classes.
    n_way = len(head.bias)
    for label in range(n_way):
        head.offset_bias[label] -= sizes[1] * n_way * head.d_bias[label]
        for k in range(head.weight.shape[1]):
            head.offset_weight[label, k] -= sizes[0] * n_way * head.d_weight[label, k]


@compiled
def _place(head: Head, means: Floats, directions: Floats, start: int) -> None:
    """The rows of a head: its start plus its offset.

    Reads the offsets, ``means`` and ``directions`` `(way, feature)`; writes the rows.
    """
    for label in range(len(means)):
        # The offset first: what the start adds depends on the features, and changes in every step.
        row = head.weight[label]
        row[:] = head.offset_weight[label]
        head.bias[label] = head.offset_bias[label]
        if start == CLASS_MEANS:
            # Logits of nearest centroids: -|u - m|^2 / 2 but for a constant (see `meta.head`).
            _add(means[label], np.float32(1), row)
            head.bias[label] -= _dot(means[label], means[label]) / 2
        elif start == COSINE:
            _add(directions[label], np.float32(1), row)


@compiled
def _cross_entropy(
    products: Floats, bias: Floats, labels: NDArray[np.int64], shares: Floats, scale: np.float32
) -> float:
    """The loss in nats; ``products`` `(row, way)`, W u, become the gradients by themselves."""
    loss = 0.0
    for row in range(len(products)):
        own, label, weight = products[row], labels[row], shares[row] / np.float32(len(bias))
        # All of a row happens while it is in registers and the level 1 cache.
        # The highest logit is subtracted first, so that no exponential is beyond float32.
        highest = np.float32(-np.inf)
        for k in range(len(bias)):
            own[k] = scale * (own[k] + bias[k])
            highest = max(highest, own[k])
        chosen, total = own[label] - highest, np.float32(0)
        for k in range(len(bias)):
            own[k] = math.exp(own[k] - highest)
            total += own[k]
        loss -= weight * (chosen - math.log(total))
        # d loss / d logits is softmax - onehot, in the weight that the row has in the loss.
        for k in range(len(bias)):
            own[k] *= weight * scale / total
        own[label] -= weight * scale
    return loss


@compiled
def _add_unit(vector: Floats, out_total: Floats) -> None:
    """Add a vector at length 1 to a sum."""
    # A feature vector may be all zeros, where ReLU has silenced every channel.
    length = max(np.float32(math.sqrt(_dot(vector, vector))), EPSILON)
    for k in range(len(vector)):
        out_total[k] += vector[k] / length


@compiled
def _units(vectors: Floats) -> tuple[Floats, Floats]:
    """`(row, feature)` rows at length 1, and their `(row,)` lengths."""
    unit, lengths = np.empty_like(vectors), np.empty(len(vectors), np.float32)
    for row in range(len(vectors)):
        length = np.float32(math.sqrt(_dot(vectors[row], vectors[row])))
        lengths[row] = max(length, EPSILON)
        # Divided, not multiplied by an inverse, as `normalize` does: the last bit stays the same.
        for k in range(vectors.shape[1]):
            unit[row, k] = vectors[row, k] / lengths[row]
    return unit, lengths


@compiled
def _through_unit(d_unit: Floats, unit: Floats, length: np.float32, out_d_vector: Floats) -> None:
    """The gradient by a vector from that by its unit vector; both may be the same array."""
    # u = v / |v| has the Jacobian (I - u u_T) / |v|: what points along u is lost.
    along = _dot(unit, d_unit)
    for k in range(len(unit)):
        out_d_vector[k] = (d_unit[k] - unit[k] * along) / length


@compiled
def _dot(left: Floats, right: Floats) -> np.float32:
    # A call of BLAS costs more than the few numbers of a feature vector do.
    total = np.float32(0)
    for k in range(len(left)):
        total += left[k] * right[k]
    return total


@compiled
def _add(vector: Floats, factor: np.float32, out_total: Floats) -> None:
    for k in range(len(vector)):
        out_total[k] += factor * vector[k]
