"""A 3x3 convolution with its 2x2 max-pooling and ReLU, by Winograd's algorithm F(2x2, 3x3).

(Lavin and Gray, CVPR 2016, eq. 8.) A tile d of 4x4 inputs and a filter g of 3x3 give 2x2 outputs

    Y = A_T ((G g G_T) * (B_T d B)) A

which are just what one pooling square takes the highest of, by 16 multiplications for each pair
of channels in place of 36. The gradients run through the same tiles. In float32 all of it rounds
no worse than plain sums do. `winograd_tiles` has B_T and A_T.

Layout: maps are `(row, height, width, channel)` and transformed arrays `(16, ..., ...)`. With the
16 numbers of a tile outermost and the channels innermost, "*" above with its sum over channels is
16 products of matrices, and every other loop runs along channels that lie side by side.
"""

from __future__ import annotations

import numpy as np

from .jit import Floats, compiled
from .winograd_tiles import (
    TILE,
    TILE_NUMBERS,
    Argmax,
    add_input_gradient,
    input_tiles,
    pool,
    unpool,
)

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
TILES_AT_ONCE = 96
"""Tiles from one transform to the next: few enough to stay in a core's level 2 cache, enough for
an efficient product of matrices. From 64 to 160 were measured alike."""


@compiled
def transform_weight(weight: Floats, scale: Floats, out_transformed: Floats) -> None:
    """U = G g G_T, of a weight whose norm is folded in.

    Reads ``weight`` `(3 * 3, inputs, outputs)` and ``scale`` `(outputs,)`, by which it is
    multiplied; writes ``out_transformed`` `(4 * 4, inputs, outputs)`.
    """
    half = np.float32(0.5)
    for i in range(weight.shape[1]):
        for row in range(TILE):
            g0, g1, g2 = G[row]
            # The four rows of G g, then times G_T in registers: G g is never stored.
            for o in range(weight.shape[2]):
                a = g0 * weight[0, i, o] + g1 * weight[3, i, o] + g2 * weight[6, i, o]
                b = g0 * weight[1, i, o] + g1 * weight[4, i, o] + g2 * weight[7, i, o]
                c = g0 * weight[2, i, o] + g1 * weight[5, i, o] + g2 * weight[8, i, o]
                # Scaled here, the 12 rows cost less than the 16 that they become.
                a, b, c = a * scale[o], b * scale[o], c * scale[o]
                out_transformed[TILE * row, i, o] = a
                out_transformed[TILE * row + 1, i, o] = half * (a + c + b)
                out_transformed[TILE * row + 2, i, o] = half * (a + c - b)
                out_transformed[TILE * row + 3, i, o] = c


@compiled
def weight_gradient(d_transformed: Floats, out_d_weight: Floats) -> None:
    """d_g = G_T d_U G: the gradient of the scaled weight, from that of the transformed one.

    Reads ``d_transformed`` `(4 * 4, inputs, outputs)`; writes ``out_d_weight``
    `(3 * 3, inputs, outputs)`.
    """
    half = np.float32(0.5)
    for i in range(out_d_weight.shape[1]):
        for column in range(3):
            # Column 0 of G reads the first plane and half of the inner two, column 2 the last
            # plane and the same; column 1 reads the inner two alone, with opposite signs.
            outer, sign = 1 if column == 2 else 0, -half if column == 1 else half
            edge = np.float32(0) if column == 1 else np.float32(1)
            for o in range(out_d_weight.shape[2]):
                a = edge * d_transformed[3 * outer, i, o] + (
                    half * d_transformed[1, i, o] + sign * d_transformed[2, i, o]
                )
                b = edge * d_transformed[4 + 3 * outer, i, o] + (
                    half * d_transformed[5, i, o] + sign * d_transformed[6, i, o]
                )
                c = edge * d_transformed[8 + 3 * outer, i, o] + (
                    half * d_transformed[9, i, o] + sign * d_transformed[10, i, o]
                )
                d = edge * d_transformed[12 + 3 * outer, i, o] + (
                    half * d_transformed[13, i, o] + sign * d_transformed[14, i, o]
                )
                # Down the rows G is the same, written out: each column of it is used once.
                out_d_weight[column, i, o] = a + half * (b + c)
                out_d_weight[3 + column, i, o] = half * (b - c)
                out_d_weight[6 + column, i, o] = d + half * (b + c)


@compiled
def forward(
    maps: Floats, transformed: Floats, shift: Floats, out_pooled: Floats, out_argmax: Argmax
) -> None:
    """Convolve, shift, pool and rectify.

    Reads ``maps`` `(row, height, width * inputs)`, ``transformed`` `(4 * 4, inputs, outputs)` and
    ``shift`` `(outputs,)`; writes ``out_pooled`` `(row, height // 2, width // 2, outputs)` and
    ``out_argmax`` `(row * height // 2 * width // 2, outputs)`.
    """
    rows, down, across, outputs = out_pooled.shape
    inputs = transformed.shape[1]
    # Strips are whole lines of tiles: only so can `input_tiles` share sums between neighbours.
    strips = max(1, TILES_AT_ONCE // across)
    # Room for the strips at hand, never for all maps: a pass allocates as much for 5 rows as for
    # 500.
    tiles = np.empty((TILE_NUMBERS, strips * across, inputs), np.float32)
    products = np.empty((TILE_NUMBERS, strips * across, outputs), np.float32)
    flat = out_pooled.reshape(rows * down * across, outputs)
    # Strips of several rows are taken together: late maps have one strip of one tile each.
    for start in range(0, rows * down, strips):
        stop = min(start + strips, rows * down)
        for strip in range(start, stop):
            input_tiles(maps[strip // down], strip % down, across, (strip - start) * across, tiles)
        used, first = (stop - start) * across, start * across
        # The sum over channels, which is nearly all of the arithmetic.
        for number in range(TILE_NUMBERS):
            np.dot(tiles[number, :used], transformed[number], products[number, :used])
        pool(products, shift, flat[first : first + used], out_argmax[first : first + used])


@compiled
def backward(
    maps: Floats,
    transformed: Floats,
    argmax: Argmax,
    d_pooled: Floats,
    out_d_transformed: Floats,
    out_d_shift: Floats,
    out_d_maps: Floats,
) -> None:
    """The gradients of all that `forward` reads, from that of what it wrote.

    Reads ``maps``, ``transformed`` and ``argmax`` as `forward` has them, and ``d_pooled`` in the
    shape of ``out_pooled``; writes ``out_d_transformed`` `(4 * 4, inputs, outputs)`,
    ``out_d_shift`` `(outputs,)` and ``out_d_maps`` `(row, height, width * inputs)`, which has no
    rows where nothing before this block adapts.
    """
    rows, down, across, outputs = d_pooled.shape
    inputs = transformed.shape[1]
    strips = max(1, TILES_AT_ONCE // across)
    tiles = np.empty((TILE_NUMBERS, strips * across, inputs), np.float32)
    d_products = np.empty((TILE_NUMBERS, strips * across, outputs), np.float32)
    # numba wants one type whichever way this goes: an empty view stands for no array.
    turned = _turned(transformed) if len(out_d_maps) else transformed[:0]
    flat = d_pooled.reshape(rows * down * across, outputs)
    # All three gradients are sums over tiles.
    out_d_transformed[:] = 0
    out_d_shift[:] = 0
    out_d_maps[:] = 0
    for start in range(0, rows * down, strips):
        stop = min(start + strips, rows * down)
        # Computed again rather than kept since `forward`: they are four times as large as the maps
        # and would not stay in the caches.
        for strip in range(start, stop):
            input_tiles(maps[strip // down], strip % down, across, (strip - start) * across, tiles)
        used, first = (stop - start) * across, start * across
        # d_U is the sum of V_T d_M over tiles, d_V is d_M U_T: both need d_M, which is there for
        # these strips alone.
        unpool(flat[first : first + used], argmax[first : first + used], d_products, out_d_shift)
        _add_weight_products(tiles, d_products, used, out_d_transformed)
        if len(out_d_maps):
            # The tiles have served the weight's gradient; their memory takes their own one.
            for number in range(TILE_NUMBERS):
                np.dot(d_products[number, :used], turned[number], tiles[number, :used])
            for strip in range(start, stop):
                add_input_gradient(
                    tiles, strip % down, across, (strip - start) * across, out_d_maps[strip // down]
                )


@compiled
def _turned(transformed: Floats) -> Floats:
    """`(4 * 4, inputs, outputs)` to `(4 * 4, outputs, inputs)`, contiguous.

    Once a pass, for the products of all strips.
    """
    numbers, inputs, outputs = transformed.shape
    turned = np.empty((numbers, outputs, inputs), np.float32)
    for number in range(numbers):
        for i in range(inputs):
            for o in range(outputs):
                turned[number, o, i] = transformed[number, i, o]
    return turned


@compiled
def _add_weight_products(
    tiles: Floats, d_products: Floats, used: int, out_d_transformed: Floats
) -> None:
    """Add what the first ``used`` tiles give to the gradient of the transformed weight.

    Reads ``tiles`` `(4 * 4, tile, inputs)` and ``d_products`` `(4 * 4, tile, outputs)`; adds to
    ``out_d_transformed`` `(4 * 4, inputs, outputs)`.
    """
    _, inputs, outputs = out_d_transformed.shape
    # np.dot can only overwrite, so that each product needs memory of its own to be added from.
    product = np.empty((inputs, outputs), np.float32)
    for number in range(TILE_NUMBERS):
        np.dot(tiles[number, :used].T, d_products[number, :used], product)
        total = out_d_transformed[number]
        for i in range(inputs):
            for o in range(outputs):
                total[i, o] += product[i, o]
