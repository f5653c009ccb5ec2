"""A 3x3 convolution of one to three channels with its 2x2 max-pooling and ReLU, as it stands.

With so few channels to multiply, the transforms of `winograd` would cost more than they save. What
a pooling square needs is computed together: four outputs, which share three weights at a time.
"""

from __future__ import annotations

import numpy as np

from .jit import Floats, compiled
from .winograd_tiles import INACTIVE, Argmax, rectified

TAPS = 9
MOST_INPUTS = 3
"""Channels up to which this was measured faster: with three an adaptation takes 1.5 x as long by
`winograd`, with one 1.15 x."""


@compiled
def scale_weight(weight: Floats, scale: Floats, out_scaled: Floats) -> None:
    """Fold a norm in.

    Reads ``weight`` `(3 * 3, inputs, outputs)` and ``scale`` `(outputs,)`; writes ``out_scaled``
    in the shape of the former.
    """
    for tap in range(TAPS):
        for i in range(weight.shape[1]):
            for o in range(len(scale)):
                out_scaled[tap, i, o] = weight[tap, i, o] * scale[o]


@compiled
def forward(
    images: Floats, weight: Floats, shift: Floats, out_pooled: Floats, out_argmax: Argmax
) -> None:
    """`winograd.forward`, for a ``weight`` of `(3 * 3, inputs, outputs)`."""
    # Rows one by one: the padded image and the weights stay in the level 1 cache meanwhile.
    rows, down, across, outputs = out_pooled.shape
    inputs = weight.shape[1]
    # The four outputs of a pooling square, line by line, for all channels of the output.
    a, b = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    c, d = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    for row in range(rows):
        padded = _padded(images[row], inputs)
        for y in range(down):
            for x in range(across):
                # The sums start at the shift, which spares adding it at the end.
                for o in range(outputs):
                    a[o], b[o], c[o], d[o] = shift[o], shift[o], shift[o], shift[o]
                for i in range(3):
                    for channel in range(inputs):
                        # Line i of the filter meets p in the upper outputs, q in the lower ones.
                        p0, p1, p2, p3 = _four(padded, inputs, 2 * y + i, x, channel)
                        q0, q1, q2, q3 = _four(padded, inputs, 2 * y + i + 1, x, channel)
                        for o in range(outputs):
                            # Outputs innermost: eight pixels stay in registers while a line of
                            # weights runs by.
                            u = weight[3 * i, channel, o]
                            v = weight[3 * i + 1, channel, o]
                            w = weight[3 * i + 2, channel, o]
                            a[o] += u * p0 + v * p1 + w * p2
                            b[o] += u * p1 + v * p2 + w * p3
                            c[o] += u * q0 + v * q1 + w * q2
                            d[o] += u * q1 + v * q2 + w * q3
                kept, own_argmax = out_pooled[row, y, x], out_argmax[(row * down + y) * across + x]
                # A tie goes to the first of the four, as in torch, so that gradients agree with
                # the definition's.
                for o in range(outputs):
                    highest, where = a[o], np.int32(0)
                    where = np.int32(1) if b[o] > highest else where
                    highest = max(highest, b[o])
                    where = np.int32(2) if c[o] > highest else where
                    highest = max(highest, c[o])
                    where = np.int32(3) if d[o] > highest else where
                    # Infinity and NaN are passed on, as in `winograd_tiles.pool`.
                    highest = max(highest, d[o]) + np.float32(0) * (a[o] + b[o] + c[o] + d[o])
                    kept[o] = rectified(highest)
                    own_argmax[o] = where if highest > np.float32(0) else np.int32(INACTIVE)


@compiled
def backward(
    images: Floats, argmax: Argmax, d_pooled: Floats, out_d_weight: Floats, out_d_shift: Floats
) -> None:
    """The gradients of weight and shift, from that of what `forward` wrote.

    Reads ``images`` `(row, height, width * inputs)`, ``argmax`` `(row * tile, outputs)` and
    ``d_pooled`` `(row, height // 2, width // 2, outputs)`; writes ``out_d_weight``
    `(3 * 3, inputs, outputs)` and ``out_d_shift`` `(outputs,)`. There is none of the images, since
    only the first block has so few inputs.
    """
    rows, down, across, outputs = d_pooled.shape
    inputs = out_d_weight.shape[1]
    a, b = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    c, d = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    out_d_weight[:] = 0
    out_d_shift[:] = 0
    for row in range(rows):
        padded = _padded(images[row], inputs)
        for y in range(down):
            for x in range(across):
                gradient = d_pooled[row, y, x]
                own_argmax = argmax[(row * down + y) * across + x]
                # Only the output that pooling kept has a gradient.
                zero = np.float32(0)
                # Adding zeros for three outputs of four is faster than branching for each.
                for o in range(outputs):
                    a[o] = gradient[o] if own_argmax[o] == 0 else zero
                    b[o] = gradient[o] if own_argmax[o] == 1 else zero
                    c[o] = gradient[o] if own_argmax[o] == 2 else zero
                    d[o] = gradient[o] if own_argmax[o] == 3 else zero
                    out_d_shift[o] += a[o] + b[o] + c[o] + d[o]
                for i in range(3):
                    for channel in range(inputs):
                        p0, p1, p2, p3 = _four(padded, inputs, 2 * y + i, x, channel)
                        q0, q1, q2, q3 = _four(padded, inputs, 2 * y + i + 1, x, channel)
                        # Each of three weights meets all four outputs, each at its own pixel.
                        first, second = (
                            out_d_weight[3 * i, channel],
                            out_d_weight[3 * i + 1, channel],
                        )
                        third = out_d_weight[3 * i + 2, channel]
                        for o in range(outputs):
                            first[o] += a[o] * p0 + b[o] * p1 + c[o] * q0 + d[o] * q1
                            second[o] += a[o] * p1 + b[o] * p2 + c[o] * q1 + d[o] * q2
                            third[o] += a[o] * p2 + b[o] * p3 + c[o] * q2 + d[o] * q3


@compiled
def _padded(image: Floats, inputs: int) -> Floats:
    """`(height, width * inputs)` with zeros all around."""
    height, length = image.shape
    padded = np.zeros((height + 2, length + 2 * inputs), np.float32)
    # A border of zeros is cheaper than asking at every pixel whether it lies inside.
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
