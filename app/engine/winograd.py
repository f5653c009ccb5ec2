"""A 3x3 convolution with its 2x2 pooling, by Winograd's minimal algorithm.

F(2x2, 3x3) of Lavin and Gray (CVPR 2016): a tile of 4x4 inputs gives 2x2 outputs, which are just
what pooling takes the highest of, by 16 multiplications of channels in place of 36. The gradients
by the weight and by the input run through the same tiles. All of it rounds no worse than plain
sums do.

Channels lie innermost. Tiles are taken strip by strip, few enough at once to stay in a core's
cache from one transform to the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernels.jit import Floats, compiled

TILE, TILES = 4, 16
"""Side of a tile, and its numbers."""
BY_WEIGHT = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
"""G of the paper."""
ONE, OTHER = np.array([0, 1, 2, 1], np.uint64), np.array([2, 2, 1, 3], np.uint64)
SIGN = np.array([-1, 1, -1, -1], np.float32)
"""B of the paper: row by row what is taken, and what is added to it with which sign."""
BACK = np.array([[1, 0, 0, 0], [0, 1, -1, 1], [-1, 1, 1, 0], [0, 0, 0, -1]], np.float32)
"""The same the other way: what each input gets of the four."""
FIRST, SECOND = np.array([1, 1, 1, 0], np.float32), np.array([0, 1, -1, -1], np.float32)
"""A of the paper: how the upper or left output counts in each of the four, and the other one."""
TILES_AT_ONCE = 96
"""From 64 to 160 were measured alike."""
RESTS = 4
"""Where a winner would stand that ReLU has silenced."""

Winners = NDArray[np.int32]
"""Which of a pooling square's four places, row by row, was the highest; or `RESTS`."""


@compiled
def transform(weight: Floats, scale: Floats, transformed: Floats) -> None:
    """G: `(3 * 3, inputs, outputs)`, scaled by output, to `(4 * 4, inputs, outputs)`."""
    half = np.float32(0.5)
    for i in range(weight.shape[1]):
        for row in range(TILE):
            one, two, three = BY_WEIGHT[row]
            for o in range(weight.shape[2]):
                a = one * weight[0, i, o] + two * weight[3, i, o] + three * weight[6, i, o]
                b = one * weight[1, i, o] + two * weight[4, i, o] + three * weight[7, i, o]
                c = one * weight[2, i, o] + two * weight[5, i, o] + three * weight[8, i, o]
                a, b, c = a * scale[o], b * scale[o], c * scale[o]
                transformed[TILE * row, i, o] = a
                transformed[TILE * row + 1, i, o] = half * (a + c + b)
                transformed[TILE * row + 2, i, o] = half * (a + c - b)
                transformed[TILE * row + 3, i, o] = c


@compiled
def transform_back(by_transformed: Floats, by_weight: Floats) -> None:
    """The gradient by a scaled weight, `(3 * 3, inputs, outputs)`, from that by `transform`'s."""
    half = np.float32(0.5)
    for i in range(by_weight.shape[1]):
        for column in range(3):
            # Columns of G, so to say: what stands in the outer planes, and half of the inner ones.
            outer, sign = 1 if column == 2 else 0, -half if column == 1 else half
            share = np.float32(0) if column == 1 else np.float32(1)
            for o in range(by_weight.shape[2]):
                a = share * by_transformed[3 * outer, i, o] + (
                    half * by_transformed[1, i, o] + sign * by_transformed[2, i, o]
                )
                b = share * by_transformed[4 + 3 * outer, i, o] + (
                    half * by_transformed[5, i, o] + sign * by_transformed[6, i, o]
                )
                c = share * by_transformed[8 + 3 * outer, i, o] + (
                    half * by_transformed[9, i, o] + sign * by_transformed[10, i, o]
                )
                d = share * by_transformed[12 + 3 * outer, i, o] + (
                    half * by_transformed[13, i, o] + sign * by_transformed[14, i, o]
                )
                by_weight[column, i, o] = a + half * (b + c)
                by_weight[3 + column, i, o] = half * (b - c)
                by_weight[6 + column, i, o] = d + half * (b + c)


@compiled
def forward(
    images: Floats, transformed: Floats, shift: Floats, pooled: Floats, winners: Winners
) -> None:
    """`(row, height, width * inputs)` to `(row, height // 2, width // 2, outputs)`.

    Convolved, shifted, pooled and rectified; ``winners`` are `(row * tile, outputs)`.
    """
    rows, down, across, outputs = pooled.shape
    inputs = transformed.shape[1]
    together = max(1, TILES_AT_ONCE // across)
    tiles = np.empty((TILES, together * across, inputs), np.float32)
    products = np.empty((TILES, together * across, outputs), np.float32)
    flat = pooled.reshape(rows * down * across, outputs)
    for start in range(0, rows * down, together):
        stop = min(start + together, rows * down)
        for strip in range(start, stop):
            _into_tiles(
                images[strip // down], strip % down, across, (strip - start) * across, tiles
            )
        used, here = (stop - start) * across, start * across
        for number in range(TILES):
            np.dot(tiles[number, :used], transformed[number], products[number, :used])
        _pool(products, shift, flat[here : here + used], winners[here : here + used])


@compiled
def backward(
    images: Floats,
    transformed: Floats,
    winners: Winners,
    by_pooled: Floats,
    by_transformed: Floats,
    by_shift: Floats,
    by_images: Floats,
) -> None:
    """The gradients from that by what `forward` gave of the same images.

    ``by_images``, likewise `(row, height, width * inputs)`, may have no rows, where it is of no
    concern.
    """
    rows, down, across, outputs = by_pooled.shape
    inputs = transformed.shape[1]
    together = max(1, TILES_AT_ONCE // across)
    tiles = np.empty((TILES, together * across, inputs), np.float32)
    by_products = np.empty((TILES, together * across, outputs), np.float32)
    turned = _turned(transformed) if len(by_images) else transformed[:0]
    flat = by_pooled.reshape(rows * down * across, outputs)
    by_transformed[:] = 0
    by_shift[:] = 0
    by_images[:] = 0
    for start in range(0, rows * down, together):
        stop = min(start + together, rows * down)
        for strip in range(start, stop):
            _into_tiles(
                images[strip // down], strip % down, across, (strip - start) * across, tiles
            )
        used, here = (stop - start) * across, start * across
        _unpool(flat[here : here + used], winners[here : here + used], by_products, by_shift)
        _add_products(tiles, by_products, used, by_transformed)
        if len(by_images):
            for number in range(TILES):
                np.dot(by_products[number, :used], turned[number], tiles[number, :used])
            for strip in range(start, stop):
                _out_of_tiles(
                    tiles, strip % down, across, (strip - start) * across, by_images[strip // down]
                )


@compiled
def _turned(transformed: Floats) -> Floats:
    """`(4 * 4, inputs, outputs)` to `(4 * 4, outputs, inputs)`."""
    numbers, inputs, outputs = transformed.shape
    turned = np.empty((numbers, outputs, inputs), np.float32)
    for number in range(numbers):
        for i in range(inputs):
            for o in range(outputs):
                turned[number, o, i] = transformed[number, i, o]
    return turned


@compiled
def _add_products(tiles: Floats, by_products: Floats, used: int, by_transformed: Floats) -> None:
    """Add the gradient by the transformed weight that the first ``used`` tiles give."""
    _, inputs, outputs = by_transformed.shape
    part = np.empty((inputs, outputs), np.float32)
    for number in range(TILES):
        np.dot(tiles[number, :used].T, by_products[number, :used], part)
        total = by_transformed[number]
        for i in range(inputs):
            for o in range(outputs):
                total[i, o] += part[i, o]


@compiled
def _into_tiles(image: Floats, down: int, across: int, start: int, tiles: Floats) -> None:
    """A strip of an image, `(height, width * channel)`, transformed by B along both axes.

    Its tiles are those of `(4 * 4, tile, channel)` from ``start`` on. Places are unsigned, so
    that none has to be looked at for counting from the end.
    """
    channels = np.uint64(tiles.shape[2])
    length = np.uint64(2 * across + 2) * channels
    kept = min(np.uint64(image.shape[1]), length - channels)
    beyond = np.zeros(image.shape[1], np.float32)
    lines = np.zeros((TILE, length), np.float32)
    for number in range(TILE):
        first, second = 2 * down + ONE[number], 2 * down + OTHER[number]
        one = image[first - 1] if 0 < first <= len(image) else beyond
        other = image[second - 1] if 0 < second <= len(image) else beyond
        line, sign = lines[number, channels : channels + kept], SIGN[number]
        for place in range(kept):
            line[place] = one[place] + sign * other[place]
    for number in range(TILES):
        line, plane = lines[number // TILE], tiles[number]
        first, second = ONE[number % TILE], OTHER[number % TILE]
        sign = SIGN[number % TILE]
        for tile in range(np.uint64(across)):
            at, left = np.uint64(start) + tile, np.uint64(2) * tile
            here, there = (left + first) * channels, (left + second) * channels
            for channel in range(channels):
                plane[at, channel] = line[here + channel] + sign * line[there + channel]


@compiled
def _out_of_tiles(by_tiles: Floats, down: int, across: int, start: int, by_image: Floats) -> None:
    """Add the gradient by a strip of an image, from that by what `_into_tiles` made of it."""
    channels = np.uint64(by_tiles.shape[2])
    run, begin = np.uint64(across) * channels, np.uint64(start) * channels
    planes = by_tiles.reshape(TILES, by_tiles.shape[1] * by_tiles.shape[2])
    columns = np.empty((TILE, run), np.float32)
    evens, odds = np.empty(run + channels, np.float32), np.empty(run, np.float32)
    for row in range(TILE):
        number = 2 * down + row - 1
        if 0 <= number < len(by_image):
            for column in range(TILE):
                _sum_rows(planes, row, column, begin, columns[column])
            _overlap(columns, channels, evens, odds)
            _add_by_turns(evens, odds, channels, by_image[number])


@compiled
def _sum_rows(planes: Floats, row: int, column: int, begin: np.uint64, total: Floats) -> None:
    """What the tiles of a strip give to this one of their columns, in this one of their rows."""
    run = np.uint64(len(total))
    total[:] = 0
    for other in range(TILE):
        share = BACK[row, other]
        if share != 0:
            plane = planes[TILE * other + column, begin : begin + run]
            for k in range(run):
                total[k] += share * plane[k]


@compiled
def _overlap(columns: Floats, channels: np.uint64, evens: Floats, odds: Floats) -> None:
    """A line's columns from those of its tiles, which overlap by two, even and odd ones apart."""
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
    """Add even and odd columns by turns; there may be one even column more."""
    for at in range(np.uint64(0), np.uint64(len(odds)), channels):
        for channel in range(channels):
            line[at + at + channel] += evens[at + channel]
        for channel in range(channels):
            line[at + at + channels + channel] += odds[at + channel]
    done = np.uint64(2 * len(odds))
    for k in range(min(channels, np.uint64(len(line)) - done)):
        line[done + k] += evens[np.uint64(len(odds)) + k]


@compiled
def rectified(value: np.float32) -> np.float32:
    """ReLU. What is not a number stays so, which `max` would hide."""
    return np.float32(0) if value <= np.float32(0) else value  # noqa: FURB136


@compiled
def _pool(products: Floats, shift: Floats, pooled: Floats, winners: Winners) -> None:
    """`(4 * 4, tile, output)` transformed by A along both axes, pooled, shifted and rectified."""
    for tile in range(len(pooled)):
        kept, winner = pooled[tile], winners[tile]
        p00, p01, p02, p03 = (
            products[0, tile],
            products[1, tile],
            products[2, tile],
            products[3, tile],
        )
        p10, p11, p12, p13 = (
            products[4, tile],
            products[5, tile],
            products[6, tile],
            products[7, tile],
        )
        p20, p21, p22, p23 = (
            products[8, tile],
            products[9, tile],
            products[10, tile],
            products[11, tile],
        )
        p30, p31, p32, p33 = (
            products[12, tile],
            products[13, tile],
            products[14, tile],
            products[15, tile],
        )
        for o in range(len(kept)):
            left, right = p00[o] + p10[o] + p20[o], p02[o] + p12[o] + p22[o]
            middle, last = p01[o] + p11[o] + p21[o], p03[o] + p13[o] + p23[o]
            highest, where = left + middle + right, np.int32(0)
            value = middle - right - last
            lost = highest + value
            where = np.int32(1) if value > highest else where
            highest = max(highest, value)
            left, right = p10[o] - p20[o] - p30[o], p12[o] - p22[o] - p32[o]
            middle, last = p11[o] - p21[o] - p31[o], p13[o] - p23[o] - p33[o]
            value = left + middle + right
            lost += value
            where = np.int32(2) if value > highest else where
            highest = max(highest, value)
            value = middle - right - last
            lost += value
            where = np.int32(3) if value > highest else where
            # What is beyond numbers stays so: no comparison may hide it.
            highest = max(highest, value) + shift[o] + np.float32(0) * lost
            kept[o] = rectified(highest)
            winner[o] = where if highest > np.float32(0) else np.int32(RESTS)


@compiled
def _unpool(by_pooled: Floats, winners: Winners, by_products: Floats, by_shift: Floats) -> None:
    """The gradient by what `_pool` took, from that by what it gave. That by the shift is added."""
    used, outputs = by_pooled.shape
    gradients, where = by_pooled.reshape(used * outputs), winners.reshape(used * outputs)
    squares = np.empty((4, used * outputs), np.float32)
    for number in range(4):
        square = squares[number]
        for k in range(used * outputs):
            square[k] = gradients[k] if where[k] == number else np.float32(0)
    planes = by_products.reshape(TILES, by_products.shape[1] * outputs)
    a, b, c, d = squares[0], squares[1], squares[2], squares[3]
    for number in range(TILES):
        plane = planes[number]
        up, down = FIRST[number // TILE], SECOND[number // TILE]
        left, right = FIRST[number % TILE], SECOND[number % TILE]
        for k in range(used * outputs):
            plane[k] = up * (left * a[k] + right * b[k]) + down * (left * c[k] + right * d[k])
    for tile in range(used):
        gradient, winner = by_pooled[tile], winners[tile]
        for o in range(outputs):
            by_shift[o] += gradient[o] if winner[o] != RESTS else np.float32(0)
