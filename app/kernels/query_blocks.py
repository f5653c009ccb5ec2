"""Blocks of Conv4 over a few queries, whose weights are a session's own.

`winograd` transforms all of a block's weights before its first multiplication, which a few
queries do not pay back. Here a block is a product of its patches and its weights as they lie in
memory, and the norm scales the few maps in place of the many weights.
"""

from __future__ import annotations

import numpy as np

from .jit import Floats, compiled
from .winograd import rectified

PATCH_NUMBERS = 1 << 18
"""Of the patches that are multiplied at once: they stay in a core's second cache."""


@compiled
def forward(
    images: Floats,
    weight: Floats,
    scale: Floats,
    shift: Floats,
    pooled: Floats,
) -> None:
    """Convolve, normalise, pool and rectify.

    Reads ``images`` `(row, height, width, input)`, ``weight`` `(output, 3 * 3 * input)`, ``scale``
    and ``shift`` `(output,)`; writes ``pooled`` `(row, height // 2, width // 2, output)`.
    """
    rows, down, across, outputs = pooled.shape
    length = weight.shape[1]
    # What an odd side has beyond its pooling squares is not computed.
    each = 4 * down * across
    together = max(1, min(rows, PATCH_NUMBERS // (each * length)))
    patches = np.zeros((together * each, length), np.float32)
    products = np.empty((together * each, outputs), np.float32)
    for start in range(0, rows, together):
        stop = min(start + together, rows)
        for row in range(start, stop):
            _patches(images[row], down, across, patches[(row - start) * each :])
        used = (stop - start) * each
        np.dot(patches[:used], weight.T, products[:used])
        for row in range(start, stop):
            _pool(products[(row - start) * each :], scale, shift, pooled[row])


@compiled
def _patches(image: Floats, down: int, across: int, patches: Floats) -> None:
    """Write the `(4 * down * across, 3 * 3 * input)` patches of an image's pooling squares.

    Reads ``image`` `(height, width, input)`. The four patches of a square follow each other. What
    lies beyond the image's edges is written as 0.
    """
    height, width, inputs = image.shape
    pixels = image.reshape(height, width * inputs)
    for y in range(2 * down):
        for x in range(2 * across):
            square = (y // 2) * across + x // 2
            patch = patches[4 * square + 2 * (y % 2) + x % 2]
            # Three pixels of a line lie side by side in memory: they are copied as one run.
            first, last = max(x - 1, 0), min(x + 2, width)
            for i in range(3):
                line = patch[3 * i * inputs : 3 * (i + 1) * inputs]
                if not 0 <= y + i - 1 < height:
                    line[:] = 0
                    continue
                if x == 0:
                    line[:inputs] = 0
                if x + 2 > width:
                    line[2 * inputs :] = 0
                source = pixels[y + i - 1, first * inputs : last * inputs]
                target = line[(first - x + 1) * inputs :]
                for k in range(len(source)):
                    target[k] = source[k]


@compiled
def _pool(products: Floats, scale: Floats, shift: Floats, pooled: Floats) -> None:
    """Write the highest of each pooling square, normalised and rectified.

    Reads ``products`` `(4 * down * across, output)`; writes ``pooled`` `(down, across, output)`.
    """
    down, across, outputs = pooled.shape
    flat = pooled.reshape(down * across, outputs)
    for square in range(down * across):
        a, b = products[4 * square], products[4 * square + 1]
        c, d = products[4 * square + 2], products[4 * square + 3]
        for o in range(outputs):
            # A negative scale turns the order round, so it comes before the comparison.
            highest = max(a[o] * scale[o], b[o] * scale[o], c[o] * scale[o], d[o] * scale[o])
            # NaN in any of the four shows, though comparisons hide it.
            highest += shift[o] + np.float32(0) * (a[o] + b[o] + c[o] + d[o])
            flat[square, o] = rectified(highest)
