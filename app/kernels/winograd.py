"""A 3x3 convolution with its 2x2 pooling and ReLU, by Winograd's minimal algorithm.

F(2x2, 3x3) of Lavin and Gray (CVPR 2016): Y = A^T [(G g G^T) * (B^T d B)] A, element by element,
turns a tile d of 4x4 inputs into 2x2 outputs, just those that pooling takes the highest of, by 16
multiplications of channels in place of 36. The gradients by weight and input run through the same
tiles. All of it rounds no worse than plain sums do.

Maps are `(row, height, width * channel)`, channels innermost. A strip is the tiles of one pooled
line; strips are taken few enough at once to stay in a core's cache between two transforms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import Floats, compiled

TILE, PLANES = 4, 16
"""Side of a tile, and the numbers of its transform: each is a plane of its own, so that the sum
over channels is one product of matrices for each plane."""
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
B_T_FIRST, B_T_SECOND = np.array([0, 1, 2, 1], np.uint64), np.array([2, 2, 1, 3], np.uint64)
B_T_SIGN = np.array([-1, 1, -1, -1], np.float32)
"""Every row of B^T has two entries: its first is 1, its second has this sign."""
B = np.array([[1, 0, 0, 0], [0, 1, -1, 1], [-1, 1, 1, 0], [0, 0, 0, -1]], np.float32)
A_UPPER, A_LOWER = np.array([1, 1, 1, 0], np.float32), np.array([0, 1, -1, -1], np.float32)
"""The columns of A: what each of four transformed numbers counts for in either output."""
TILES_AT_ONCE = 96
"""From 64 to 160 were measured alike."""
INACTIVE = 4
"""In place of an argmax: the ReLU gave 0, so that no gradient passes."""

Argmax = NDArray[np.int32]
"""`(row * tile, output)`: which of a pooling square's four outputs was the highest, or `INACTIVE`.
Row by row: 0 and 1 are the upper ones, 2 and 3 the lower ones."""


@compiled
def transform(weight: Floats, scale: Floats, transformed: Floats) -> None:
    """Write G g G^T of a weight times its ``scale``.

    Reads ``weight`` `(3 * 3, input, output)` and ``scale`` `(output,)`; writes ``transformed``
    `(4 * 4, input, output)`.
    """
    half = np.float32(0.5)
    for i in range(weight.shape[1]):
        for row in range(TILE):
            one, two, three = G[row]
            for o in range(weight.shape[2]):
                a = one * weight[0, i, o] + two * weight[3, i, o] + three * weight[6, i, o]
                b = one * weight[1, i, o] + two * weight[4, i, o] + three * weight[7, i, o]
                c = one * weight[2, i, o] + two * weight[5, i, o] + three * weight[8, i, o]
                a, b, c = a * scale[o], b * scale[o], c * scale[o]
                # The columns of G^T, written out: half of them are 0 or the same but for a sign.
                transformed[TILE * row, i, o] = a
                transformed[TILE * row + 1, i, o] = half * (a + c + b)
                transformed[TILE * row + 2, i, o] = half * (a + c - b)
                transformed[TILE * row + 3, i, o] = c


@compiled
def transform_backward(d_transformed: Floats, d_weight: Floats) -> None:
    """Write the gradient by the scaled weight of `transform`, G^T d G.

    Reads ``d_transformed`` `(4 * 4, input, output)`; writes ``d_weight`` `(3 * 3, input, output)`.
    """
    half = np.float32(0.5)
    for i in range(d_weight.shape[1]):
        for column in range(3):
            # A column of G: an outer plane once or not at all, and half of each inner plane.
            plane, sign = 1 if column == 2 else 0, -half if column == 1 else half
            outer = np.float32(0) if column == 1 else np.float32(1)
            for o in range(d_weight.shape[2]):
                a = outer * d_transformed[3 * plane, i, o] + (
                    half * d_transformed[1, i, o] + sign * d_transformed[2, i, o]
                )
                b = outer * d_transformed[4 + 3 * plane, i, o] + (
                    half * d_transformed[5, i, o] + sign * d_transformed[6, i, o]
                )
                c = outer * d_transformed[8 + 3 * plane, i, o] + (
                    half * d_transformed[9, i, o] + sign * d_transformed[10, i, o]
                )
                d = outer * d_transformed[12 + 3 * plane, i, o] + (
                    half * d_transformed[13, i, o] + sign * d_transformed[14, i, o]
                )
                d_weight[column, i, o] = a + half * (b + c)
                d_weight[3 + column, i, o] = half * (b - c)
                d_weight[6 + column, i, o] = d + half * (b + c)


@compiled
def forward(
    images: Floats, transformed: Floats, shift: Floats, pooled: Floats, argmax: Argmax
) -> None:
    """Convolve, shift, pool and rectify.

    Reads ``images`` `(row, height, width * input)`, ``transformed`` `(4 * 4, input, output)` and
    ``shift`` `(output,)`; writes ``pooled`` `(row, height // 2, width // 2, output)` and
    ``argmax`` `(row * tile, output)`.
    """
    rows, down, across, outputs = pooled.shape
    inputs = transformed.shape[1]
    together = max(1, TILES_AT_ONCE // across)
    tiles = np.empty((PLANES, together * across, inputs), np.float32)
    products = np.empty((PLANES, together * across, outputs), np.float32)
    flat = pooled.reshape(rows * down * across, outputs)
    for start in range(0, rows * down, together):
        stop = min(start + together, rows * down)
        for strip in range(start, stop):
            _into_tiles(
                images[strip // down], strip % down, across, (strip - start) * across, tiles
            )
        used, first = (stop - start) * across, start * across
        for plane in range(PLANES):
            np.dot(tiles[plane, :used], transformed[plane], products[plane, :used])
        _pool(products, shift, flat[first : first + used], argmax[first : first + used])


@compiled
def backward(
    images: Floats,
    transformed: Floats,
    argmax: Argmax,
    d_pooled: Floats,
    d_transformed: Floats,
    d_shift: Floats,
    d_images: Floats,
) -> None:
    """The gradients of `forward`, from that by its pooled maps.

    Reads what `forward` read, its ``argmax`` and ``d_pooled``; writes ``d_transformed``,
    ``d_shift`` and ``d_images``, in the shapes of what they are gradients by. ``d_images`` may
    have no rows where nobody asks for it.
    """
    rows, down, across, outputs = d_pooled.shape
    inputs = transformed.shape[1]
    together = max(1, TILES_AT_ONCE // across)
    tiles = np.empty((PLANES, together * across, inputs), np.float32)
    d_products = np.empty((PLANES, together * across, outputs), np.float32)
    turned = _turned(transformed) if len(d_images) else transformed[:0]
    flat = d_pooled.reshape(rows * down * across, outputs)
    d_transformed[:] = 0
    d_shift[:] = 0
    d_images[:] = 0
    for start in range(0, rows * down, together):
        stop = min(start + together, rows * down)
        # The tiles are made anew: keeping them would take four times the memory of the images.
        for strip in range(start, stop):
            _into_tiles(
                images[strip // down], strip % down, across, (strip - start) * across, tiles
            )
        used, first = (stop - start) * across, start * across
        _unpool(flat[first : first + used], argmax[first : first + used], d_products, d_shift)
        _add_products(tiles, d_products, used, d_transformed)
        if len(d_images):
            # The tiles have served: their room takes the gradient by them.
            for plane in range(PLANES):
                np.dot(d_products[plane, :used], turned[plane], tiles[plane, :used])
            for strip in range(start, stop):
                _out_of_tiles(
                    tiles, strip % down, across, (strip - start) * across, d_images[strip // down]
                )


@compiled
def _turned(transformed: Floats) -> Floats:
    """`(4 * 4, input, output)` to `(4 * 4, output, input)`, once for all strips."""
    planes, inputs, outputs = transformed.shape
    turned = np.empty((planes, outputs, inputs), np.float32)
    for plane in range(planes):
        for i in range(inputs):
            for o in range(outputs):
                turned[plane, o, i] = transformed[plane, i, o]
    return turned


@compiled
def _add_products(tiles: Floats, d_products: Floats, used: int, d_transformed: Floats) -> None:
    """Add the gradient by the transformed weight that the first ``used`` tiles give.

    Reads ``tiles`` `(4 * 4, tile, input)` and ``d_products`` `(4 * 4, tile, output)`.
    """
    _, inputs, outputs = d_transformed.shape
    # A product of matrices cannot add to its output here, so it goes by way of this.
    part = np.empty((inputs, outputs), np.float32)
    for plane in range(PLANES):
        np.dot(tiles[plane, :used].T, d_products[plane, :used], part)
        total = d_transformed[plane]
        for i in range(inputs):
            for o in range(outputs):
                total[i, o] += part[i, o]


@compiled
def _into_tiles(image: Floats, down: int, across: int, start: int, tiles: Floats) -> None:
    """Write B^T d B of a strip: the tiles ``start`` to ``start + across - 1``.

    Reads ``image`` `(height, width * channel)`, of which strip ``down`` begins one line above
    line ``2 * down``; writes ``tiles`` `(4 * 4, tile, channel)`.
    """
    # Unsigned, so that no index has to be checked for counting from the end.
    channels = np.uint64(tiles.shape[2])
    length = np.uint64(2 * across + 2) * channels
    kept = min(np.uint64(image.shape[1]), length - channels)
    beyond = np.zeros(image.shape[1], np.float32)
    lines = np.zeros((TILE, length), np.float32)
    # Lines first: a line of the transform serves all tiles of the strip, which overlap.
    for row in range(TILE):
        first, second = 2 * down + B_T_FIRST[row], 2 * down + B_T_SECOND[row]
        upper = image[first - 1] if 0 < first <= len(image) else beyond
        lower = image[second - 1] if 0 < second <= len(image) else beyond
        line, sign = lines[row, channels : channels + kept], B_T_SIGN[row]
        for k in range(kept):
            line[k] = upper[k] + sign * lower[k]
    for number in range(PLANES):
        line, plane = lines[number // TILE], tiles[number]
        first, second = B_T_FIRST[number % TILE], B_T_SECOND[number % TILE]
        sign = B_T_SIGN[number % TILE]
        for tile in range(np.uint64(across)):
            target, left = np.uint64(start) + tile, np.uint64(2) * tile
            near, far = (left + first) * channels, (left + second) * channels
            for channel in range(channels):
                plane[target, channel] = line[near + channel] + sign * line[far + channel]


@compiled
def _out_of_tiles(d_tiles: Floats, down: int, across: int, start: int, d_image: Floats) -> None:
    """Add B d B^T of a strip: the gradient by an image from that by what `_into_tiles` wrote.

    Reads ``d_tiles`` `(4 * 4, tile, channel)`; adds to ``d_image`` `(height, width * channel)`.
    """
    channels = np.uint64(d_tiles.shape[2])
    run, begin = np.uint64(across) * channels, np.uint64(start) * channels
    planes = d_tiles.reshape(PLANES, d_tiles.shape[1] * d_tiles.shape[2])
    columns = np.empty((TILE, run), np.float32)
    evens, odds = np.empty(run + channels, np.float32), np.empty(run, np.float32)
    for row in range(TILE):
        line = 2 * down + row - 1
        if 0 <= line < len(d_image):
            for column in range(TILE):
                _sum_rows(planes, row, column, begin, columns[column])
            _overlap(columns, channels, evens, odds)
            _add_by_turns(evens, odds, channels, d_image[line])


@compiled
def _sum_rows(planes: Floats, row: int, column: int, begin: np.uint64, total: Floats) -> None:
    """Write what a strip's tiles give in one of their rows and columns, B along their height.

    Reads ``planes`` `(4 * 4, tile * channel)` from ``begin`` on; writes ``total``
    `(across * channel,)`.
    """
    run = np.uint64(len(total))
    total[:] = 0
    for source in range(TILE):
        factor = B[row, source]
        # Half of B is 0, and a plane that is left out need not be read.
        if factor != 0:
            plane = planes[TILE * source + column, begin : begin + run]
            for k in range(run):
                total[k] += factor * plane[k]


@compiled
def _overlap(columns: Floats, channels: np.uint64, evens: Floats, odds: Floats) -> None:
    """Write a line's columns from its tiles', B along their width; tiles overlap by two.

    Reads ``columns`` `(4, across * channel)`; writes the even and the odd columns of the line
    apart, ``evens`` `((across + 1) * channel,)` and ``odds`` `(across * channel,)`: so every loop
    runs through memory without gaps.
    """
    a, b, c, d = columns[0], columns[1], columns[2], columns[3]
    evens[:] = 0
    for k in range(len(a)):
        evens[k], odds[k] = b[k] - c[k] + d[k], b[k] + c[k] - a[k]
    behind, ahead = evens[channels:], a[channels:]
    for k in range(len(a)):
        behind[k] -= d[k]
    for k in range(len(ahead)):
        odds[k] += ahead[k]


@compiled
def _add_by_turns(evens: Floats, odds: Floats, channels: np.uint64, line: Floats) -> None:
    """Add even and odd columns to ``line`` `(width * channel,)` by turns."""
    for k in range(np.uint64(0), np.uint64(len(odds)), channels):
        for channel in range(channels):
            line[k + k + channel] += evens[k + channel]
        for channel in range(channels):
            line[k + k + channels + channel] += odds[k + channel]
    # An odd width leaves one even column more, that pooling leaves out and the last tile sees.
    done = np.uint64(2 * len(odds))
    for k in range(min(channels, np.uint64(len(line)) - done)):
        line[done + k] += evens[np.uint64(len(odds)) + k]


@compiled
def rectified(value: np.float32) -> np.float32:
    """ReLU that passes NaN on, which `max` would turn into 0: a loop that diverges must show."""
    return np.float32(0) if value <= np.float32(0) else value  # noqa: FURB136


@compiled
def _pool(products: Floats, shift: Floats, pooled: Floats, argmax: Argmax) -> None:
    """Write the highest of the four outputs A^T m A of each tile, shifted and rectified.

    Reads ``products`` `(4 * 4, tile, output)` and ``shift`` `(output,)`; writes ``pooled`` and
    ``argmax``, both `(tile, output)`.
    """
    m = products
    for tile in range(len(pooled)):
        kept, place = pooled[tile], argmax[tile]
        # Sixteen names rather than a loop over planes: then all of it stays in registers.
        p00, p01, p02, p03 = (
            m[0, tile],
            m[1, tile],
            m[2, tile],
            m[3, tile],
        )
        p10, p11, p12, p13 = (
            m[4, tile],
            m[5, tile],
            m[6, tile],
            m[7, tile],
        )
        p20, p21, p22, p23 = (
            m[8, tile],
            m[9, tile],
            m[10, tile],
            m[11, tile],
        )
        p30, p31, p32, p33 = (
            m[12, tile],
            m[13, tile],
            m[14, tile],
            m[15, tile],
        )
        for o in range(len(kept)):
            left, right = p00[o] + p10[o] + p20[o], p02[o] + p12[o] + p22[o]
            middle, last = p01[o] + p11[o] + p21[o], p03[o] + p13[o] + p23[o]
            highest, where = left + middle + right, np.int32(0)
            value = middle - right - last
            # The sum of all four is NaN where one of them is, which a comparison would hide.
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
            highest = max(highest, value) + shift[o] + np.float32(0) * total
            kept[o] = rectified(highest)
            place[o] = where if highest > np.float32(0) else np.int32(INACTIVE)


@compiled
def _unpool(d_pooled: Floats, argmax: Argmax, d_products: Floats, d_shift: Floats) -> None:
    """Write the gradient by what `_pool` read; add that by the shift.

    Reads ``d_pooled`` and ``argmax``, both `(tile, output)`; writes ``d_products``
    `(4 * 4, tile, output)`, adds to ``d_shift`` `(output,)`.
    """
    used, outputs = d_pooled.shape
    gradients, where = d_pooled.reshape(used * outputs), argmax.reshape(used * outputs)
    # The four outputs of each pooling square, three of them 0: without a branch per plane.
    squares = np.empty((4, used * outputs), np.float32)
    for place in range(4):
        square = squares[place]
        for k in range(used * outputs):
            square[k] = gradients[k] if where[k] == place else np.float32(0)
    planes = d_products.reshape(PLANES, d_products.shape[1] * outputs)
    a, b, c, d = squares[0], squares[1], squares[2], squares[3]
    for number in range(PLANES):
        plane = planes[number]
        up, down = A_UPPER[number // TILE], A_LOWER[number // TILE]
        left, right = A_UPPER[number % TILE], A_LOWER[number % TILE]
        for k in range(used * outputs):
            plane[k] = up * (left * a[k] + right * b[k]) + down * (left * c[k] + right * d[k])
    for tile in range(used):
        gradient, place = d_pooled[tile], argmax[tile]
        for o in range(outputs):
            d_shift[o] += gradient[o] if place[o] != INACTIVE else np.float32(0)
