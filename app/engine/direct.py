"""A 3x3 convolution of few channels with its 2x2 pooling, forward and backward, as it stands.

With so few channels to multiply, `winograd`'s transforms would cost more than they save. What a
pooling square needs is computed together: four outputs, which share three weights at a time.
"""

from __future__ import annotations

import numpy as np

from ..kernels.jit import Floats, compiled
from .winograd import RESTS, Winners, rectified

TAPS = 9
MOST_INPUTS = 3
"""Channels up to which this was measured faster."""


@compiled
def forward(
    images: Floats, weight: Floats, shift: Floats, pooled: Floats, winners: Winners
) -> None:
    """`winograd.forward`, for a weight of `(3 * 3, inputs, outputs)`."""
    rows, down, across, outputs = pooled.shape
    inputs = weight.shape[1]
    a, b = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    c, d = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    for row in range(rows):
        padded = _padded(images[row], inputs)
        for y in range(down):
            for x in range(across):
                for o in range(outputs):
                    a[o], b[o], c[o], d[o] = shift[o], shift[o], shift[o], shift[o]
                for i in range(3):
                    for channel in range(inputs):
                        p0, p1, p2, p3 = _four(padded, inputs, 2 * y + i, x, channel)
                        q0, q1, q2, q3 = _four(padded, inputs, 2 * y + i + 1, x, channel)
                        for o in range(outputs):
                            u = weight[3 * i, channel, o]
                            v = weight[3 * i + 1, channel, o]
                            w = weight[3 * i + 2, channel, o]
                            a[o] += u * p0 + v * p1 + w * p2
                            b[o] += u * p1 + v * p2 + w * p3
                            c[o] += u * q0 + v * q1 + w * q2
                            d[o] += u * q1 + v * q2 + w * q3
                kept, winner = pooled[row, y, x], winners[(row * down + y) * across + x]
                for o in range(outputs):
                    highest, where = a[o], np.int32(0)
                    where = np.int32(1) if b[o] > highest else where
                    highest = max(highest, b[o])
                    where = np.int32(2) if c[o] > highest else where
                    highest = max(highest, c[o])
                    where = np.int32(3) if d[o] > highest else where
                    highest = max(highest, d[o]) + np.float32(0) * (a[o] + b[o] + c[o] + d[o])
                    kept[o] = rectified(highest)
                    winner[o] = where if highest > np.float32(0) else np.int32(RESTS)


@compiled
def backward(
    images: Floats, winners: Winners, by_pooled: Floats, by_weight: Floats, by_shift: Floats
) -> None:
    """The gradients by the weight and the shift, from that by what `forward` gave."""
    rows, down, across, outputs = by_pooled.shape
    inputs = by_weight.shape[1]
    a, b = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    c, d = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    by_weight[:] = 0
    by_shift[:] = 0
    for row in range(rows):
        padded = _padded(images[row], inputs)
        for y in range(down):
            for x in range(across):
                gradient, winner = by_pooled[row, y, x], winners[(row * down + y) * across + x]
                zero = np.float32(0)
                for o in range(outputs):
                    a[o] = gradient[o] if winner[o] == 0 else zero
                    b[o] = gradient[o] if winner[o] == 1 else zero
                    c[o] = gradient[o] if winner[o] == 2 else zero
                    d[o] = gradient[o] if winner[o] == 3 else zero
                    by_shift[o] += a[o] + b[o] + c[o] + d[o]
                for i in range(3):
                    for channel in range(inputs):
                        p0, p1, p2, p3 = _four(padded, inputs, 2 * y + i, x, channel)
                        q0, q1, q2, q3 = _four(padded, inputs, 2 * y + i + 1, x, channel)
                        first, second = by_weight[3 * i, channel], by_weight[3 * i + 1, channel]
                        third = by_weight[3 * i + 2, channel]
                        for o in range(outputs):
                            first[o] += a[o] * p0 + b[o] * p1 + c[o] * q0 + d[o] * q1
                            second[o] += a[o] * p1 + b[o] * p2 + c[o] * q1 + d[o] * q2
                            third[o] += a[o] * p2 + b[o] * p3 + c[o] * q2 + d[o] * q3


@compiled
def _padded(image: Floats, inputs: int) -> Floats:
    """`(height, width * inputs)` with zeros all around."""
    height, length = image.shape
    padded = np.zeros((height + 2, length + 2 * inputs), np.float32)
    for y in range(height):
        line = padded[y + 1, inputs:]
        for k in range(length):
            line[k] = image[y, k]
    return padded


@compiled
def _four(
    padded: Floats, inputs: int, line: int, x: int, channel: int
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Four neighbours of a channel on a line, from the left edge of a pooling square's view on."""
    at = 2 * x * inputs + channel
    own = padded[line]
    return own[at], own[at + inputs], own[at + 2 * inputs], own[at + 3 * inputs]
