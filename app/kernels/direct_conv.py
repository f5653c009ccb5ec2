"""A 3x3 convolution of few channels with its 2x2 pooling and ReLU, forward and backward, directly.

With one to three input channels `winograd`'s transforms would cost more than they save: there
this takes two thirds of its time. What a pooling square needs is computed together: four outputs,
of which each pair in a line sees the same weights one pixel further on.
"""

from __future__ import annotations

import numpy as np

from .jit import Floats, compiled
from .winograd import INACTIVE, Argmax, rectified

TAPS = 9
MOST_INPUTS = 3
"""Input channels up to which this was measured faster than `winograd`."""


@compiled
def forward(images: Floats, weight: Floats, shift: Floats, pooled: Floats, argmax: Argmax) -> None:
    """Convolve, shift, pool and rectify.

    Reads ``images`` `(row, height, width * input)`, ``weight`` `(3 * 3, input, output)` and
    ``shift`` `(output,)`; writes ``pooled`` `(row, height // 2, width // 2, output)` and
    ``argmax`` `(row * tile, output)`.
    """
    rows, down, across, outputs = pooled.shape
    inputs = weight.shape[1]
    # The four outputs of a pooling square, all channels of each: loops over channels vectorise.
    a, b = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    c, d = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    for row in range(rows):
        padded = _with_border(images[row], inputs)
        for y in range(down):
            for x in range(across):
                for o in range(outputs):
                    a[o], b[o], c[o], d[o] = shift[o], shift[o], shift[o], shift[o]
                for i in range(3):
                    # One line of taps: weights are loaded once for the four outputs.
                    for channel in range(inputs):
                        p0, p1, p2, p3 = _four_pixels(padded, inputs, 2 * y + i, x, channel)
                        q0, q1, q2, q3 = _four_pixels(padded, inputs, 2 * y + i + 1, x, channel)
                        for o in range(outputs):
                            u = weight[3 * i, channel, o]
                            v = weight[3 * i + 1, channel, o]
                            w = weight[3 * i + 2, channel, o]
                            a[o] += u * p0 + v * p1 + w * p2
                            b[o] += u * p1 + v * p2 + w * p3
                            c[o] += u * q0 + v * q1 + w * q2
                            d[o] += u * q1 + v * q2 + w * q3
                kept, place = pooled[row, y, x], argmax[(row * down + y) * across + x]
                for o in range(outputs):
                    highest, where = a[o], np.int32(0)
                    where = np.int32(1) if b[o] > highest else where
                    highest = max(highest, b[o])
                    where = np.int32(2) if c[o] > highest else where
                    highest = max(highest, c[o])
                    where = np.int32(3) if d[o] > highest else where
                    # NaN in any of the four shows, though comparisons hide it.
                    highest = max(highest, d[o]) + np.float32(0) * (a[o] + b[o] + c[o] + d[o])
                    kept[o] = rectified(highest)
                    place[o] = where if highest > np.float32(0) else np.int32(INACTIVE)


@compiled
def backward(
    images: Floats, argmax: Argmax, d_pooled: Floats, d_weight: Floats, d_shift: Floats
) -> None:
    """The gradients of `forward` by weight and shift; nobody asks for that by the images.

    Reads ``images``, the ``argmax`` of `forward` and ``d_pooled``; writes ``d_weight`` and
    ``d_shift``.
    """
    rows, down, across, outputs = d_pooled.shape
    inputs = d_weight.shape[1]
    # The gradient by each of the four outputs: that of the pooled one, or 0.
    a, b = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    c, d = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    d_weight[:] = 0
    d_shift[:] = 0
    for row in range(rows):
        padded = _with_border(images[row], inputs)
        for y in range(down):
            for x in range(across):
                gradient, place = d_pooled[row, y, x], argmax[(row * down + y) * across + x]
                zero = np.float32(0)
                for o in range(outputs):
                    a[o] = gradient[o] if place[o] == 0 else zero
                    b[o] = gradient[o] if place[o] == 1 else zero
                    c[o] = gradient[o] if place[o] == 2 else zero
                    d[o] = gradient[o] if place[o] == 3 else zero
                    d_shift[o] += a[o] + b[o] + c[o] + d[o]
                for i in range(3):
                    # One line of taps: weights are loaded once for the four outputs.
                    for channel in range(inputs):
                        p0, p1, p2, p3 = _four_pixels(padded, inputs, 2 * y + i, x, channel)
                        q0, q1, q2, q3 = _four_pixels(padded, inputs, 2 * y + i + 1, x, channel)
                        first, second = d_weight[3 * i, channel], d_weight[3 * i + 1, channel]
                        third = d_weight[3 * i + 2, channel]
                        for o in range(outputs):
                            first[o] += a[o] * p0 + b[o] * p1 + c[o] * q0 + d[o] * q1
                            second[o] += a[o] * p1 + b[o] * p2 + c[o] * q1 + d[o] * q2
                            third[o] += a[o] * p2 + b[o] * p3 + c[o] * q2 + d[o] * q3


@compiled
def _with_border(image: Floats, inputs: int) -> Floats:
    """Give `(height, width * input)` pixels with zeros all around: no tap has to ask for edges."""
    height, length = image.shape
    padded = np.zeros((height + 2, length + 2 * inputs), np.float32)
    for y in range(height):
        line = padded[y + 1, inputs:]
        for k in range(length):
            line[k] = image[y, k]
    return padded


@compiled
def _four_pixels(
    padded: Floats, inputs: int, line: int, x: int, channel: int
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Give four neighbours of a channel on a line: what both outputs of a pooling square see there.

    Reads ``padded`` `(height + 2, (width + 2) * input)`.
    """
    first = 2 * x * inputs + channel
    pixels = padded[line]
    return (
        pixels[first],
        pixels[first + inputs],
        pixels[first + 2 * inputs],
        pixels[first + 3 * inputs],
    )
