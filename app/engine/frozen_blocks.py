"""The blocks of Conv4 that do not adapt: their weights are folded and transformed once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from ..kernels import first_block, winograd
from ..kernels.jit import Floats
from ..meta.params import array_of
from ..meta.views import with_views_at

Step = Callable[[torch.Tensor], torch.Tensor]


class FrozenBlock:
    """A block with a folded convolution."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Take an `(output, input, 3, 3)` weight and an `(output,)` bias."""
        taps = array_of(weight.permute(2, 3, 1, 0).flatten(0, 1))
        self._transformed = np.empty((winograd.PLANES, *taps.shape[1:]), np.float32)
        winograd.transform(taps, np.ones(len(bias), np.float32), self._transformed)
        self._bias = array_of(bias)

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """`(row, input, height, width)` to `(row, output, height // 2, width // 2)`.

        In channels last.
        """
        images = hidden.permute(0, 2, 3, 1).contiguous()
        rows, height, width, _ = images.shape
        pooled = np.empty((rows, height // 2, width // 2, len(self._bias)), np.float32)
        argmax = np.empty((pooled.size // len(self._bias), len(self._bias)), np.int32)
        winograd.forward(images.flatten(2).numpy(), self._transformed, self._bias, pooled, argmax)
        return torch.from_numpy(pooled).permute(0, 3, 1, 2)


class FirstBlock:
    """A first block of one input channel, over images and the views of a grid."""

    def __init__(self, grid: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Take a `(view, height, width, 2)` grid and a folded `(output, 1, 3, 3)` convolution."""
        self._corners, self._shares = _bilinear(grid)
        self._weight = array_of(weight.flatten(1).T)
        self._bias = array_of(bias)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """`(image, 1, height, width)` to `(image * (1 + view), output, height // 2, width // 2)`.

        In channels last. Each image comes first, its views behind it, as in `views.with_views_at`.
        """
        n_images, _, height, width = images.shape
        rows = n_images * (1 + len(self._corners))
        pooled = np.empty((rows, height // 2, width // 2, len(self._bias)), np.float32)
        pixels = array_of(images.squeeze(1))
        first_block.forward(pixels, self._corners, self._shares, self._weight, self._bias, pooled)
        return torch.from_numpy(pooled).permute(0, 3, 1, 2)


def first_step(grid: torch.Tensor, folded: tuple[torch.Tensor, torch.Tensor] | None) -> Step:
    """From images to all views of them, `(image * (1 + view), ...)`, behind the first block.

    Before it, where it is not frozen: where there is no ``folded`` weight and bias.
    """
    if folded is None:
        return lambda images: with_views_at(images, grid).flatten(0, 1)
    if folded[0].shape[1] == 1:
        return FirstBlock(grid, *folded)
    first = FrozenBlock(*folded)
    return lambda images: first(with_views_at(images, grid).flatten(0, 1))


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
    corners = [row * width + column for row in (above, below) for column in (left, right)]
    by_row, by_column = (1 - (down - above), down - above), (1 - (across - left), across - left)
    shares = [row * column for row in by_row for column in by_column]
    return torch.stack(corners, 2).long().numpy(), torch.stack(shares, 2).float().numpy()
