"""Blocks that rest, by the minimal algorithm of Winograd (Lavin and Gray, CVPR 2016, F(2x2, 3x3)).

A tile of 4x4 inputs gives 2x2 outputs, which are just what pooling takes the highest of, by 16
multiplications of channels in place of 36. It rounds no worse than the plain sum does. Weights
are transformed once, which pays because they rest.
"""

from __future__ import annotations

import numpy as np
import torch

from ..meta.compiled import Floats, compiled

TILE = 4
BY_WEIGHT = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))
"""G of the paper."""
ONE, OTHER = np.array([0, 1, 2, 1], np.uint64), np.array([2, 2, 1, 3], np.uint64)
SIGN = np.array([-1, 1, -1, -1], np.float32)
"""B of the paper: row by row what is taken, and what is added to it with which sign."""
MULTIPLIED_AT_ONCE = 64**3
"""Multiplications of a product of matrices up to which the library has no other thread join in.
So few tiles also stay in a core's cache from one transform to the other."""


class WinogradBlock:
    """A block with a folded convolution that rests."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Take an `(outputs, inputs, 3, 3)` weight and an `(outputs,)` bias."""
        by_weight = torch.tensor(BY_WEIGHT, dtype=torch.float64)
        turned = torch.einsum("ai,oqij,bj->abqo", by_weight, weight.double(), by_weight)
        self._weight = turned.flatten(0, 1).float().contiguous().numpy()
        self._bias = bias.contiguous().numpy()

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """`(row, inputs, height, width)` to `(row, outputs, height // 2, width // 2)`.

        In channels last.
        """
        images = hidden.permute(0, 2, 3, 1).contiguous()
        rows, height, width, _ = images.shape
        pooled = np.empty((rows, height // 2, width // 2, len(self._bias)), np.float32)
        _run(images.flatten(2).numpy(), self._weight, self._bias, pooled)
        return torch.from_numpy(pooled).permute(0, 3, 1, 2)


@compiled
def _run(images: Floats, weight: Floats, bias: Floats, pooled: Floats) -> None:
    """From `(row, height, width * inputs)`, in strips of tiles beside each other."""
    rows, down, across, outputs = pooled.shape
    inputs = weight.shape[1]
    together = max(1, MULTIPLIED_AT_ONCE // (across * inputs * outputs))
    tiles = np.empty((TILE * TILE, together * across, inputs), np.float32)
    products = np.empty((TILE * TILE, together * across, outputs), np.float32)
    flat = pooled.reshape(rows * down * across, outputs)
    for start in range(0, rows * down, together):
        stop = min(start + together, rows * down)
        for strip in range(start, stop):
            _into_tiles(
                images[strip // down], strip % down, across, (strip - start) * across, tiles
            )
        used = (stop - start) * across
        for number in range(TILE * TILE):
            np.dot(tiles[number, :used], weight[number], products[number, :used])
        _out_of_tiles(products, bias, flat[start * across : stop * across])


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
    for number in range(TILE * TILE):
        line, plane = lines[number // TILE], tiles[number]
        first, second = ONE[number % TILE], OTHER[number % TILE]
        sign = SIGN[number % TILE]
        for tile in range(np.uint64(across)):
            at, left = np.uint64(start) + tile, np.uint64(2) * tile
            here, there = (left + first) * channels, (left + second) * channels
            for channel in range(channels):
                plane[at, channel] = line[here + channel] + sign * line[there + channel]


@compiled
def _out_of_tiles(products: Floats, bias: Floats, pooled: Floats) -> None:
    """`(4 * 4, tile, output)` transformed by A along both axes, pooled, shifted and rectified."""
    for tile in range(len(pooled)):
        row = pooled[tile]
        a, b, c, d = products[0, tile], products[1, tile], products[2, tile], products[3, tile]
        e, f, g, h = products[4, tile], products[5, tile], products[6, tile], products[7, tile]
        i, j, k, l = products[8, tile], products[9, tile], products[10, tile], products[11, tile]  # noqa: E741
        m, n, o, p = products[12, tile], products[13, tile], products[14, tile], products[15, tile]
        for output in range(len(row)):
            left = a[output] + e[output] + i[output]
            middle = b[output] + f[output] + j[output]
            right = c[output] + g[output] + k[output]
            last = d[output] + h[output] + l[output]
            upper = max(left + middle + right, middle - right - last)
            left = e[output] - i[output] - m[output]
            middle = f[output] - j[output] - n[output]
            right = g[output] - k[output] - o[output]
            last = h[output] - l[output] - p[output]
            lower = max(left + middle + right, middle - right - last)
            row[output] = max(max(upper, lower) + bias[output], np.float32(0))
