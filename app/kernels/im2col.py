"""A 3x3 convolution with its 2x2 max-pooling and ReLU as one product of matrices, forward alone.

For few rows: where a session brings weights of its own and asks of one image, folding and
transforming them for `winograd` takes longer than the convolution. Here weights are read as a
session keeps them, and the norm scales the few outputs in place of the many weights.

Layout: the patch of 3x3 inputs that an output sees becomes a line of a matrix, and the four
outputs of a pooling square are four lines behind each other.
"""

from __future__ import annotations

import numpy as np

from .jit import Floats, compiled
from .winograd_tiles import rectified

SQUARES_AT_ONCE = 24
"""Pooling squares whose patches are copied out together: 64 channels fill half a level 2 cache."""


@compiled
def forward(maps: Floats, weight: Floats, scale: Floats, shift: Floats, out_pooled: Floats) -> None:
    """Convolve, scale, shift, pool and rectify.

    Reads ``maps`` `(row, height, width * inputs)`, ``weight`` `(outputs, 3 * 3 * inputs)`,
    ``scale`` and ``shift`` `(outputs,)`; writes ``out_pooled``
    `(row, height // 2, width // 2, outputs)`.
    """
    rows, down, across, outputs = out_pooled.shape
    inputs = weight.shape[1] // 9
    strips = max(1, SQUARES_AT_ONCE // across)
    patches = np.empty((4 * strips * across, 9 * inputs), np.float32)
    products = np.empty((4 * strips * across, outputs), np.float32)
    padded = _padded(maps, inputs)
    # Pooling squares in one line, whatever row and strip they are of.
    flat = out_pooled.reshape(rows * down * across, outputs)
    # Strips of several rows are taken together: late maps have few squares, and a product of many
    # lines costs little more than one of a few, since it reads the weight once for all of them.
    for start in range(0, rows * down, strips):
        stop = min(start + strips, rows * down)
        for strip in range(start, stop):
            first = 4 * (strip - start) * across
            _copy_patches(padded[strip // down], strip % down, inputs, patches[first:])
        # ``weight`` is stored with the outputs outermost; BLAS takes it transposed as it lies.
        used = (stop - start) * across
        np.dot(patches[: 4 * used], weight.T, products[: 4 * used])
        _pool(products, scale, shift, flat[start * across : stop * across])


@compiled
def _padded(maps: Floats, inputs: int) -> Floats:
    """`(row, height, width * inputs)` with zeros all around."""
    rows, height, length = maps.shape
    # Padding few rows costs little, and spares every patch the question where an edge is.
    padded = np.zeros((rows, height + 2, length + 2 * inputs), np.float32)
    for row in range(rows):
        for y in range(height):
            padded[row, y + 1, inputs : inputs + length] = maps[row, y]
    return padded


@compiled
def _copy_patches(padded: Floats, strip: int, inputs: int, out_patches: Floats) -> None:
    """The patches of a line of pooling squares.

    Reads ``padded`` `(height + 2, (width + 2) * inputs)`; writes the first `4 * (width // 2)` of
    ``out_patches`` `(patch, 3 * 3 * inputs)`.
    """
    # With channels innermost, a line of a patch is three pixels that lie side by side.
    run = 3 * inputs
    across = (padded.shape[1] // inputs - 2) // 2
    for x in range(across):
        for square in range(4):
            left = (2 * x + square % 2) * inputs
            patch = out_patches[4 * x + square]
            for i in range(3):
                line = padded[2 * strip + square // 2 + i]
                patch[i * run : (i + 1) * run] = line[left : left + run]


@compiled
def _pool(products: Floats, scale: Floats, shift: Floats, out_pooled: Floats) -> None:
    """What normalisation, pooling and ReLU leave of each square.

    Reads ``products`` `(4 * square or more, output)`; writes ``out_pooled`` `(square, output)`.
    """
    for square in range(len(out_pooled)):
        kept = out_pooled[square]
        # The four outputs of a square are neighbours, so that pooling reads memory once, in order.
        a, b = products[4 * square], products[4 * square + 1]
        c, d = products[4 * square + 2], products[4 * square + 3]
        for o in range(len(kept)):
            # Scaled before they are compared: a negative gain makes the lowest the highest.
            highest = max(a[o] * scale[o], b[o] * scale[o], c[o] * scale[o], d[o] * scale[o])
            # Infinity and NaN are passed on, as in `winograd_tiles.pool`.
            total = a[o] + b[o] + c[o] + d[o]
            kept[o] = rectified(highest + shift[o] + np.float32(0) * total)
