"""The blocks of Conv4 that rest, as machine code.

The first one's single channel of grey images makes it small work on large maps: `FirstBlock` never
lets them leave the registers, from the image seen in a view to what pooling keeps. The others have
their weights transformed once for `winograd`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..kernels.jit import Floats, compiled
from ..meta.params import array_of
from .winograd import TILES, forward, transform


class FirstBlock:
    """A frozen block of one input channel, for images that are seen through a grid."""

    def __init__(self, grid: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Take a `(view, height, width, 2)` grid and a folded convolution.

        Its weight is `(outputs, 1, 3, 3)`.
        """
        self._places, self._shares = _bilinear(grid)
        self._weight = array_of(weight.flatten(1).T)
        self._bias = array_of(bias)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """`(image, 1, height, width)` to `(image * (1 + view), outputs, height // 2, width // 2)`.

        In channels last. Each image comes first, its views behind it, as in `views.with_views_at`.
        """
        n_images, _, height, width = images.shape
        rows = n_images * (1 + len(self._places))
        out = np.empty((rows, height // 2, width // 2, len(self._bias)), np.float32)
        seen = array_of(images.squeeze(1))
        _run(seen, self._places, self._shares, self._weight, self._bias, out)
        return torch.from_numpy(out).permute(0, 3, 1, 2)


class RestingBlock:
    """A block with a folded convolution that rests."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Take an `(outputs, inputs, 3, 3)` weight and an `(outputs,)` bias."""
        taps = array_of(weight.permute(2, 3, 1, 0).flatten(0, 1))
        self._transformed = np.empty((TILES, *taps.shape[1:]), np.float32)
        transform(taps, np.ones(len(bias), np.float32), self._transformed)
        self._bias = array_of(bias)

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """`(row, inputs, height, width)` to `(row, outputs, height // 2, width // 2)`.

        In channels last.
        """
        images = hidden.permute(0, 2, 3, 1).contiguous()
        rows, height, width, _ = images.shape
        pooled = np.empty((rows, height // 2, width // 2, len(self._bias)), np.float32)
        winners = np.empty((pooled.size // len(self._bias), len(self._bias)), np.int32)
        forward(images.flatten(2).numpy(), self._transformed, self._bias, pooled, winners)
        return torch.from_numpy(pooled).permute(0, 3, 1, 2)


def _bilinear(grid: torch.Tensor) -> tuple[NDArray[np.int64], Floats]:
    """The four pixels that each place of a grid lies between, and their shares.

    Both are `(view, height * width, 4)`. Beyond an edge lies what is nearest on it.
    """
    n_views, height, width, _ = grid.shape
    positions = grid.double().reshape(n_views, height * width, 2)
    across, down = (
        (((positions[..., axis] + 1) * length - 1) / 2).clamp(0, length - 1)
        for axis, length in enumerate((width, height))
    )
    left, above = across.floor(), down.floor()
    right, below = (left + 1).clamp(max=width - 1), (above + 1).clamp(max=height - 1)
    places = [row * width + column for row in (above, below) for column in (left, right)]
    by_row, by_column = (1 - (down - above), down - above), (1 - (across - left), across - left)
    shares = [row * column for row in by_row for column in by_column]
    return torch.stack(places, 2).long().numpy(), torch.stack(shares, 2).float().numpy()


@compiled
def _run(
    images: Floats,
    places: NDArray[np.int64],
    shares: Floats,
    weight: Floats,
    bias: Floats,
    out: Floats,
) -> None:
    n_images, height, width = images.shape
    seen = 1 + len(places)
    padded = np.zeros((height + 2, width + 2), np.float32)
    for row in range(n_images * seen):
        _see(images[row // seen], places, shares, row % seen, padded)
        for y in range(height // 2):
            for x in range(width // 2):
                for output in range(len(bias)):
                    # The four convolutions of a pooling square, by their place in it.
                    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                    for i in range(3):
                        for j in range(3):
                            w = weight[3 * i + j, output]
                            a += w * padded[2 * y + i, 2 * x + j]
                            b += w * padded[2 * y + i, 2 * x + j + 1]
                            c += w * padded[2 * y + i + 1, 2 * x + j]
                            d += w * padded[2 * y + i + 1, 2 * x + j + 1]
                    kept = max(a, b, c, d) + bias[output]
                    out[row, y, x, output] = max(kept, np.float32(0))


@compiled
def _see(
    image: Floats, places: NDArray[np.int64], shares: Floats, number: int, padded: Floats
) -> None:
    """Fill in an image as it is, number 0, or as a view has it; the border stays."""
    height, width = image.shape
    pixels = image.reshape(height * width)
    for y in range(height):
        for x in range(width):
            place = y * width + x
            if number == 0:
                padded[y + 1, x + 1] = pixels[place]
            else:
                seen = np.float32(0)
                for corner in range(4):
                    share = shares[number - 1, place, corner]
                    seen += share * pixels[places[number - 1, place, corner]]
                padded[y + 1, x + 1] = seen
