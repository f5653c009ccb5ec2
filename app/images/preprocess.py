"""A decoded image to a network's input.

Part of an initialization, and the same code in training, evaluation, serving and export: made
only of tensor operations that ONNX has.

`Drawing` is for characters, symbols and line drawings. It takes ink of either polarity, of any
size and anywhere on its sheet, in grey, colour or on a transparent ground.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch

from ..meta.traced import traced

COARSE = 2
"""Cells of the grid that the ink is looked for on, per cell of the output, along one side."""
REFINEMENTS = 2
SMALL, LOOSE = 0.1, 2.0
"""A window below this share of the sheet was seen too coarsely to be trusted: the next look is at
one so many times as wide."""
MIN_CONTRAST = 32 / 255
"""Luminance between paper and ink below which a difference counts as noise of the paper."""
INK_THRESHOLD = 0.25
BLANK = 0.6
"""Ink, from lightest to darkest, below which a preprocessed image is noise of the paper."""
LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""


@dataclass(frozen=True)
class Drawing:
    """Ink on paper to `(1, size, size)` float32, centred and scaled by its own extent.

    The window that becomes the output is a square around the ink's centre of mass whose side is
    `extent` times the ink's standard deviation along its longer axis. Ink is 1 and paper 0
    before `mean` and `std`, which are those of the training images, are taken off.
    """

    size: int = 28
    extent: float = 4.4
    mean: float = 0.0
    std: float = 1.0

    def __call__(self, rgba: torch.Tensor) -> torch.Tensor:
        """Turn `(height, width, 4)` uint8 RGBA into `(1, size, size)` float32."""
        opacity = rgba[..., 3].to(torch.float32) / 255
        luminance = sum(
            rgba[..., channel].to(torch.float32) * (weight / 255)
            for channel, weight in enumerate(LUMINANCE)
        )
        sheet = _Sheet(luminance * opacity, opacity, COARSE * self.size)
        centre, width = self._find_ink(sheet)
        ink = sheet.ink(centre, width, self.size)
        ink = ink / ink.max().clamp(min=0.25)
        return ((ink - self.mean) / self.std).unsqueeze(0)

    def is_blank(self, image: torch.Tensor) -> bool:
        """Tell whether a preprocessed `(1, size, size)` image has no ink worth the name."""
        return bool((image.max() - image.min()) * self.std < BLANK)

    def _find_ink(self, sheet: _Sheet) -> tuple[torch.Tensor, torch.Tensor]:
        """Centre `(2,)` and width `()` of the window around the ink, in pixels.

        The first look is at the whole sheet, the next ones closer, so that a small drawing on a
        large sheet is found as exactly as one that fills it.
        """
        cells = COARSE * self.size
        centre, width = sheet.whole()
        small = SMALL * width
        for look in range(1, REFINEMENTS + 1):
            seen = sheet.ink_of_whole() if look == 1 else sheet.ink(centre, width, cells)
            ink = (seen - INK_THRESHOLD).clamp(min=0)
            total = ink.sum()
            offset = (torch.arange(cells, device=ink.device) + 0.5) / cells - 0.5
            rows, columns = ink.sum(1) / total.clamp(min=1e-6), ink.sum(0) / total.clamp(min=1e-6)
            middle = torch.stack([(rows * offset).sum(), (columns * offset).sum()])
            spread = torch.stack(
                [
                    (rows * (offset - middle[0]) ** 2).sum(),
                    (columns * (offset - middle[1]) ** 2).sum(),
                ]
            )
            found = total > 0.5
            closer = self.extent * spread.max().sqrt() * width
            if look < REFINEMENTS:
                closer = torch.where(closer < small, LOOSE * closer, closer)
            centre = torch.where(found, centre + middle * width, centre)
            width = torch.where(found, closer.clamp(min=4.0), width)
        return centre, width


@lru_cache
def preprocessor(drawing: Drawing) -> Callable[[torch.Tensor], torch.Tensor]:
    """`Drawing` as one call, for images of any size: the same numbers, in half of the time."""
    return traced(drawing.__call__, torch.zeros(105, 105, 4, dtype=torch.uint8))


class _Sheet:
    """An image seen as ink on paper; windows of it are resampled on demand."""

    def __init__(self, luminance: torch.Tensor, opacity: torch.Tensor, cells: int) -> None:
        """Take luminance premultiplied by opacity, both `(height, width)` in 0..1.

        Paper and ink are told apart in ``cells`` a side.
        """
        self._luminance, self._opacity = luminance, opacity
        light, solid, frame = self._sample(*self.whole(), cells=cells)
        transparent = 1 - solid.sum() / frame.sum()
        tone = light.sum() / solid.sum().clamp(min=1e-6)
        # Mostly transparent: what is there is ink, so the ground contrasts with it. Mostly
        # opaque: what is there is paper, so transparent corners are paper too.
        paper_tone = torch.where(transparent > 0.5, 1 - tone, tone)
        self._ground = (paper_tone >= 0.5).to(torch.float32)
        inside = frame >= 0.5
        seen = self._composite(light, solid, frame)
        low = torch.where(inside, seen, torch.ones_like(seen)).min()
        high = torch.where(inside, seen, torch.zeros_like(seen)).max()
        mean = (seen * inside).sum() / inside.sum()
        dark_paper = mean < (low + high) / 2
        self._paper = torch.where(dark_paper, low, high)
        sign = torch.where(dark_paper, torch.ones_like(low), -torch.ones_like(low))
        self._gain = sign / (high - low).clamp(min=MIN_CONTRAST)
        self._whole = seen, frame

    def whole(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Centre `(2,)` and width `()` of the square that holds the whole sheet, in pixels."""
        sides = torch.stack([_length(self._opacity, 0), _length(self._opacity, 1)])
        return sides / 2, sides.max()

    def ink(self, centre: torch.Tensor, width: torch.Tensor, cells: int) -> torch.Tensor:
        """`(cells, cells)` of ink, 0 for paper and about 1 for the darkest ink of the sheet."""
        light, solid, frame = self._sample(centre, width, cells)
        return self._as_ink(self._composite(light, solid, frame), frame)

    def ink_of_whole(self) -> torch.Tensor:
        """`ink` of the whole sheet, in the cells that paper and ink were told apart in."""
        return self._as_ink(*self._whole)

    def _as_ink(self, seen: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        return ((seen - self._paper) * self._gain * frame).clamp(min=0)

    def _composite(
        self, light: torch.Tensor, solid: torch.Tensor, frame: torch.Tensor
    ) -> torch.Tensor:
        return (light + self._ground * (frame - solid)) / frame.clamp(min=1e-6)

    def _sample(
        self, centre: torch.Tensor, width: torch.Tensor, cells: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Premultiplied luminance, opacity and the share of each cell that lies on the sheet."""
        down = _resampling(self._opacity, 0, centre[0], width, cells)
        across = _resampling(self._opacity, 1, centre[1], width, cells)
        return (
            down @ self._luminance @ across.T,
            down @ self._opacity @ across.T,
            down.sum(1, keepdim=True) @ across.sum(1, keepdim=True).T,
        )


def _length(image: torch.Tensor, axis: int) -> torch.Tensor:
    """The length of an axis as a tensor that an export keeps dynamic."""
    return torch.ones_like(image.select(1 - axis, 0)).sum()


def _resampling(
    image: torch.Tensor, axis: int, centre: torch.Tensor, width: torch.Tensor, cells: int
) -> torch.Tensor:
    """The `(cells, length)` matrix of a triangle filter as wide as the reduction (antialiased).

    Rows sum to 1 where their cell lies on the image and to less beyond its edge.
    """
    step = width / cells
    reach = step.clamp(min=1.0)
    pixels = torch.ones_like(image.select(1 - axis, 0)).cumsum(0) - 0.5
    cell = torch.arange(cells, device=image.device) + 0.5 - cells / 2
    distance = (pixels.unsqueeze(0) - (centre + cell.unsqueeze(1) * step)).abs()
    return (1 - distance / reach).clamp(min=0) / reach
