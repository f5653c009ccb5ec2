"""`preprocess.Drawing` for stacks of images of one size, on arrays.

`Drawing` is the definition, made of tensor operations that can be exported; on the small images
that characters are, nearly all of its time goes into starting them. This takes a fraction of it,
most for images on opaque paper, and gives the same numbers to rounding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .preprocess import (
    COARSE,
    FIRST_LOOK,
    INK_THRESHOLD,
    LOOSE,
    LUMINANCE,
    MIN_CONTRAST,
    REFINEMENTS,
    SMALL,
    Drawing,
)

Array = npt.NDArray[Any]
"""Of float32; what numpy infers of mixed operations is wider."""
PIXELS_AT_ONCE = 1 << 20
"""Of a stack, which bounds its memory at about 20 MB."""


def preprocess(drawing: Drawing, images: Sequence[torch.Tensor]) -> torch.Tensor:
    """`(height, width, 4)` uint8 RGBA images, of any sizes, to `(image, 1, size, size)`."""
    places = defaultdict(list)
    for place, image in enumerate(images):
        places[tuple(image.shape)].append(place)
    found = np.empty((len(images), 1, drawing.size, drawing.size), dtype=np.float32)
    for (height, width, _), alike in places.items():
        at_once = max(1, PIXELS_AT_ONCE // (height * width))
        for first in range(0, len(alike), at_once):
            chosen = alike[first : first + at_once]
            found[chosen, 0] = _stack(drawing, np.stack([images[i].numpy() for i in chosen]))
    return torch.from_numpy(found)


def _stack(drawing: Drawing, rgba: npt.NDArray[np.uint8]) -> Array:
    sheets = _Sheets.of(rgba)
    centre, width = _find_ink(drawing, sheets)
    ink = sheets.ink(sheets.sample(centre, width, drawing.size))
    ink /= np.maximum(ink.max((1, 2), keepdims=True), np.float32(0.25))
    ink -= np.float32(drawing.mean)
    ink /= np.float32(drawing.std)
    return ink


def _find_ink(drawing: Drawing, sheets: _Sheets) -> tuple[Array, Array]:
    """Centres `(image, 2)` and widths `(image,)` of the windows around the ink, in pixels."""
    cells = COARSE * drawing.size
    centre, width = sheets.whole()
    small = np.float32(SMALL) * width
    offset = (np.arange(cells, dtype=np.float32) + np.float32(0.5)) / np.float32(cells)
    offset -= np.float32(0.5)
    for look in range(1, REFINEMENTS + 1):
        first = look == 1 and cells == FIRST_LOOK
        seen = sheets.first_look if first else sheets.sample(centre, width, cells)
        ink = np.maximum(sheets.ink(seen) - np.float32(INK_THRESHOLD), 0)
        rows, columns = ink.sum(2), ink.sum(1)
        total = rows.sum(1)
        shares = np.stack([rows, columns], 1) / np.maximum(total, np.float32(1e-6))[:, None, None]
        middle = shares @ offset
        spread = (shares * (offset - middle[..., None]) ** 2).sum(2)
        found = total > 0.5
        closer = np.float32(drawing.extent) * np.sqrt(spread.max(1)) * width
        if look < REFINEMENTS:
            closer = np.where(closer < small, np.float32(LOOSE) * closer, closer)
        centre = np.where(found[:, None], centre + middle * width[:, None], centre)
        width = np.where(found, np.maximum(closer, np.float32(4.0)), width)
    return centre, width


@dataclass(frozen=True)
class _Seen:
    """Windows: premultiplied luminance, opacity and the share of each cell on the sheet."""

    light: Array
    solid: Array
    frame: Array


class _Sheets:
    """As `preprocess._Sheet`, of several images; everything is `(image, ...)`."""

    def __init__(self, luminance: Array, opacity: Array | None) -> None:
        """Take luminance premultiplied by opacity; ``opacity`` is None where all is opaque."""
        self._luminance, self._opacity = luminance, opacity
        self.first_look = seen = self.sample(*self.whole(), FIRST_LOOK)
        covered, framed = seen.solid.sum((1, 2)), seen.frame.sum((1, 2))
        tone = seen.light.sum((1, 2)) / np.maximum(covered, np.float32(1e-6))
        paper_tone = np.where(1 - covered / framed > 0.5, 1 - tone, tone)
        self._ground = (paper_tone >= 0.5).astype(np.float32)[:, None, None]
        inside = seen.frame >= 0.5
        shown = self._composite(seen)
        low = np.where(inside, shown, np.float32(1)).min((1, 2))
        high = np.where(inside, shown, np.float32(0)).max((1, 2))
        dark_paper = (shown * inside).sum((1, 2)) / inside.sum((1, 2)) < (low + high) / 2
        self._paper = np.where(dark_paper, low, high)[:, None, None]
        sign = np.where(dark_paper, np.float32(1), np.float32(-1))
        contrast = np.maximum(high - low, np.float32(MIN_CONTRAST))
        self._gain = (sign / contrast)[:, None, None]

    @classmethod
    def of(cls, rgba: npt.NDArray[np.uint8]) -> _Sheets:
        """Take `(image, height, width, 4)` RGBA."""
        weights = np.array([*LUMINANCE, 0], dtype=np.float32) / np.float32(255)
        luminance = (rgba.reshape(-1, 4).astype(np.float32) @ weights).reshape(rgba.shape[:3])
        alpha = rgba[..., 3]
        if alpha.min() == 255:
            return cls(luminance, None)
        opacity = alpha.astype(np.float32) / np.float32(255)
        return cls(luminance * opacity, opacity)

    def whole(self) -> tuple[Array, Array]:
        """Centres `(image, 2)` and widths `(image,)` of the squares that hold whole sheets."""
        n_images, *sides = self._luminance.shape
        centre = np.tile(np.array(sides, dtype=np.float32) / 2, (n_images, 1))
        return centre, np.full(n_images, max(sides), dtype=np.float32)

    def sample(self, centre: Array, width: Array, cells: int) -> _Seen:
        """See windows in `(cells, cells)`."""
        _, height, breadth = self._luminance.shape
        if height == breadth:
            both = _resampling(height, centre.T.reshape(-1), np.tile(width, 2), cells)
            down, across = both[: len(centre)], both[len(centre) :]
        else:
            down = _resampling(height, centre[:, 0], width, cells)
            across = _resampling(breadth, centre[:, 1], width, cells)
        turned = across.transpose(0, 2, 1)
        frame = down.sum(2)[:, :, None] * across.sum(2)[:, None, :]
        light = down @ self._luminance @ turned
        solid = frame if self._opacity is None else down @ self._opacity @ turned
        return _Seen(light, solid, frame)

    def ink(self, seen: _Seen) -> Array:
        """0 for paper and about 1 for the darkest ink of the sheet."""
        ink = (self._composite(seen) - self._paper) * self._gain * seen.frame
        floored: Array = np.maximum(ink, 0)
        return floored

    def _composite(self, seen: _Seen) -> Array:
        light = seen.light
        if self._opacity is not None:
            light = light + self._ground * (seen.frame - seen.solid)
        composite: Array = light / np.maximum(seen.frame, np.float32(1e-6))
        return composite


def _resampling(length: int, centre: Array, width: Array, cells: int) -> Array:
    """`(image, cells, length)`: see `preprocess._resampling`."""
    pixels, cell = _places(length, cells)
    step = width[:, None] / np.float32(cells)
    reach = np.maximum(step, np.float32(1))
    weights: Array = pixels - (centre[:, None] + cell * step)[:, :, None]
    np.abs(weights, out=weights)
    weights *= (-1 / (reach * reach))[:, :, None]
    weights += (1 / reach)[:, :, None]
    np.maximum(weights, 0, out=weights)
    return weights


@lru_cache(maxsize=64)
def _places(length: int, cells: int) -> tuple[Array, Array]:
    """The middles of pixels, and those of cells from the middle of the window."""
    pixels = np.arange(length, dtype=np.float32) + np.float32(0.5)
    return pixels, np.arange(cells, dtype=np.float32) + np.float32(0.5 - cells / 2)
