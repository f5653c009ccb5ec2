"""B_T and A_T of Winograd's algorithm F(2x2, 3x3): inputs to tiles, tiles to pooled outputs.

(Lavin and Gray, CVPR 2016, sec. 4.1.) Each with the way back, which is its transpose. Tiles are
taken strip by strip: a strip is a line of tiles across a map, of which there are height // 2, each
over 4 lines of which 2 belong to the next strip as well. Arrays are laid out as in `winograd`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import Floats, compiled

TILE, TILE_NUMBERS = 4, 16
"""Side of a tile of inputs, and its numbers."""
B_T = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32)
B = np.ascontiguousarray(B_T.T)
# Each row of B_T is one input plus or minus another one. Sums of two are half the work of sums of
# four with zeros. Unsigned positions spare numba the check for counting from the end.
PLUS, OTHER = np.array([0, 1, 2, 1], np.uint64), np.array([2, 2, 1, 3], np.uint64)
SIGN = np.array([-1, 1, -1, -1], np.float32)
"""B_T, row by row: input ``PLUS``, and ``SIGN`` times input ``OTHER``."""
A_T = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)
UPPER, LOWER = A_T[0].copy(), A_T[1].copy()
INACTIVE = 4
"""The argmax of a pooling square whose highest output ReLU has set to zero."""

Argmax = NDArray[np.int32]
"""Which of a pooling square's four outputs, line by line, was the highest; or `INACTIVE`."""


@compiled
def input_tiles(image: Floats, strip: int, across: int, start: int, out_tiles: Floats) -> None:
    """V = B_T d B of one strip.

    Reads ``image`` `(height, width * channel)`, around which lie zeros; writes ``across`` tiles of
    ``out_tiles`` `(4 * 4, tile, channel)` from tile ``start`` on.
    """
    channels = np.uint64(out_tiles.shape[2])
    length = np.uint64(2 * across + 2) * channels
    # The last tile sees one column beyond those that are pooled: padding, unless the width is odd.
    kept = min(np.uint64(image.shape[1]), length - channels)
    # Lines above and below the image are read from here: a pointer in place of a branch a pixel.
    beyond = np.zeros(image.shape[1], np.float32)
    lines = np.zeros((TILE, length), np.float32)
    # B_T d for whole lines first: neighbouring tiles overlap by two columns, whose sums they share.
    for number in range(TILE):
        first, second = 2 * strip + PLUS[number], 2 * strip + OTHER[number]
        plus = image[first - 1] if 0 < first <= len(image) else beyond
        other = image[second - 1] if 0 < second <= len(image) else beyond
        line, sign = lines[number, channels : channels + kept], SIGN[number]
        for k in range(kept):
            line[k] = plus[k] + sign * other[k]
    # Then times B, which takes B_T's rows again, along the line.
    for number in range(TILE_NUMBERS):
        line, plane = lines[number // TILE], out_tiles[number]
        first, second = PLUS[number % TILE], OTHER[number % TILE]
        sign = SIGN[number % TILE]
        # Tiles overlap by two columns, so that they begin at every second one.
        for tile in range(np.uint64(across)):
            at, left = np.uint64(start) + tile, np.uint64(2) * tile
            plus_at, other_at = (left + first) * channels, (left + second) * channels
            for channel in range(channels):
                plane[at, channel] = line[plus_at + channel] + sign * line[other_at + channel]


@compiled
def add_input_gradient(
    d_tiles: Floats, strip: int, across: int, start: int, out_d_image: Floats
) -> None:
    """Add B d_V B_T of one strip to the gradient of its image.

    Reads ``across`` tiles of ``d_tiles`` `(4 * 4, tile, channel)` from tile ``start`` on; adds to
    ``out_d_image`` `(height, width * channel)`. What falls on the padding is dropped.
    """
    channels = np.uint64(d_tiles.shape[2])
    run, begin = np.uint64(across) * channels, np.uint64(start) * channels
    # One axis for tile and channel: a strip of a plane is one long run of memory.
    planes = d_tiles.reshape(TILE_NUMBERS, d_tiles.shape[1] * d_tiles.shape[2])
    columns = np.empty((TILE, run), np.float32)
    evens, odds = np.empty(run + channels, np.float32), np.empty(run, np.float32)
    for row in range(TILE):
        # Tiles begin one line above the two that their strip pools: the upper one's padding.
        number = 2 * strip + row - 1
        if 0 <= number < len(out_d_image):
            for column in range(TILE):
                _sum_rows(planes, row, column, begin, columns[column])
            _overlap(columns, channels, evens, odds)
            _interleave(evens, odds, channels, out_d_image[number])


@compiled
def _sum_rows(planes: Floats, row: int, column: int, begin: np.uint64, out_total: Floats) -> None:
    """A row of B d_V, for one column of every tile of a strip.

    Reads ``planes`` `(4 * 4, tile * channel)` from ``begin`` on; writes ``out_total``
    `(across * channel,)`.
    """
    run = np.uint64(len(out_total))
    out_total[:] = 0
    for k_row in range(TILE):
        factor = B[row, k_row]
        # Half of B is zero: a branch spares those lines altogether.
        if factor != 0:
            plane = planes[TILE * k_row + column, begin : begin + run]
            for k in range(run):
                out_total[k] += factor * plane[k]


@compiled
def _overlap(columns: Floats, channels: np.uint64, out_evens: Floats, out_odds: Floats) -> None:
    """Multiply by B_T and add up tiles, which overlap by two columns.

    Reads ``columns`` `(4, across * channel)`; writes the line's even columns
    ``out_evens`` `((across + 1) * channel,)`, and its odd ones ``out_odds`` `(across * channel,)`.
    """
    a, b, c, d = columns[0], columns[1], columns[2], columns[3]
    out_evens[:] = 0
    # Even and odd columns are kept apart, so that no loop has a stride.
    for k in range(len(a)):
        out_evens[k], out_odds[k] = b[k] - c[k] + d[k], b[k] + c[k] - a[k]
    # A tile's last column is an even one of its right neighbour, its first an odd one of its left.
    behind, ahead = out_evens[channels:], a[channels:]
    for k in range(len(a)):
        behind[k] -= d[k]
    for k in range(len(ahead)):
        out_odds[k] += ahead[k]


@compiled
def _interleave(evens: Floats, odds: Floats, channels: np.uint64, out_line: Floats) -> None:
    """Add even and odd columns to a line in turns.

    Reads ``evens`` and ``odds`` as `_overlap` wrote them; adds to ``out_line``
    `(width * channel,)`.
    """
    # Two inner loops with one destination each, which the compiler can widen.
    for at in range(np.uint64(0), np.uint64(len(odds)), channels):
        for channel in range(channels):
            out_line[at + at + channel] += evens[at + channel]
        for channel in range(channels):
            out_line[at + at + channels + channel] += odds[at + channel]
    # The line has one even column more where the width is odd, which pooling leaves out but the
    # last tile's filter still sees.
    done = np.uint64(2 * len(odds))
    for k in range(min(channels, np.uint64(len(out_line)) - done)):
        out_line[done + k] += evens[np.uint64(len(odds)) + k]


@compiled
def rectified(value: np.float32) -> np.float32:
    """ReLU that passes NaN on, as torch's does; `max` would turn it into zero."""
    return np.float32(0) if value <= np.float32(0) else value  # noqa: FURB136


@compiled
def pool(products: Floats, shift: Floats, out_pooled: Floats, out_argmax: Argmax) -> None:
    """Y = A_T M A, of which the highest is kept, shifted and rectified.

    Reads ``products`` `(4 * 4, tile or more, output)` and ``shift`` `(output,)`; writes
    ``out_pooled`` and ``out_argmax`` `(tile, output)`.
    """
    for tile in range(len(out_pooled)):
        kept, own_argmax = out_pooled[tile], out_argmax[tile]
        # Sixteen names leave the inner loop one index, along the outputs.
        m = products
        p00, p01, p02, p03 = m[0, tile], m[1, tile], m[2, tile], m[3, tile]
        p10, p11, p12, p13 = m[4, tile], m[5, tile], m[6, tile], m[7, tile]
        p20, p21, p22, p23 = m[8, tile], m[9, tile], m[10, tile], m[11, tile]
        p30, p31, p32, p33 = m[12, tile], m[13, tile], m[14, tile], m[15, tile]
        for o in range(len(kept)):
            # A_T's rows are 1 1 1 0 and 0 1 -1 -1: the upper outputs, then the lower ones. The
            # shift is the same for all four, so that it is added to the highest alone.
            left, right = p00[o] + p10[o] + p20[o], p02[o] + p12[o] + p22[o]
            middle, last = p01[o] + p11[o] + p21[o], p03[o] + p13[o] + p23[o]
            highest, where = left + middle + right, np.int32(0)
            value = middle - right - last
            total = highest + value
            where = np.int32(1) if value > highest else where
            highest = max(highest, value)
            left, right = p10[o] - p20[o] - p30[o], p12[o] - p22[o] - p32[o]
            middle, last = p11[o] - p21[o] - p31[o], p13[o] - p23[o] - p33[o]
            value = left + middle + right
            total += value
            where = np.int32(2) if value > highest else where
            highest = max(highest, value)
            value = middle - right - last
            total += value
            where = np.int32(3) if value > highest else where
            # No comparison may hide infinity or NaN, by which divergence is told: zero times the
            # sum of the four is zero but for those.
            highest = max(highest, value) + shift[o] + np.float32(0) * total
            kept[o] = rectified(highest)
            own_argmax[o] = where if highest > np.float32(0) else np.int32(INACTIVE)


@compiled
def unpool(d_pooled: Floats, argmax: Argmax, out_d_products: Floats, out_d_shift: Floats) -> None:
    """d_M = A d_Y A_T, where d_Y has the gradient at the argmax and zeros beside it.

    Reads ``d_pooled`` and ``argmax`` `(tile, output)`; writes that many tiles of
    ``out_d_products`` `(4 * 4, tile or more, output)` and adds to ``out_d_shift`` `(output,)`.
    """
    used, outputs = d_pooled.shape
    flat, where = d_pooled.reshape(used * outputs), argmax.reshape(used * outputs)
    # d_Y is spread out first, once for all 16 planes.
    squares = np.empty((4, used * outputs), np.float32)
    for number in range(4):
        square = squares[number]
        for k in range(used * outputs):
            square[k] = flat[k] if where[k] == number else np.float32(0)
    planes = out_d_products.reshape(TILE_NUMBERS, out_d_products.shape[1] * outputs)
    # Number (i, j) of A d_Y A_T is d_Y weighted by columns i and j of A_T.
    a, b, c, d = squares[0], squares[1], squares[2], squares[3]
    for number in range(TILE_NUMBERS):
        plane = planes[number]
        up, down = UPPER[number // TILE], LOWER[number // TILE]
        left, right = UPPER[number % TILE], LOWER[number % TILE]
        for k in range(used * outputs):
            plane[k] = up * (left * a[k] + right * b[k]) + down * (left * c[k] + right * d[k])
    # The shift reaches all four outputs alike, but a gradient comes through the kept one alone.
    for tile in range(used):
        gradient, own_argmax = d_pooled[tile], argmax[tile]
        for o in range(outputs):
            out_d_shift[o] += gradient[o] if own_argmax[o] != INACTIVE else np.float32(0)
