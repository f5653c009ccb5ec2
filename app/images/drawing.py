"""A decoded image to a network's input.

Part of an initialization, defined by tensor operations that ONNX has; `kernels.drawing` has it as
machine code.

`Drawing` is for characters, symbols and line drawings. It takes ink of either polarity, of any
size and anywhere on its sheet, in grey, colour or on a transparent ground, in even light or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..kernels.drawing import (
    COARSE,
    EVEN,
    FAINTEST,
    INK_THRESHOLD,
    LOOSE,
    LUMINANCE,
    NARROWEST,
    REFINEMENTS,
    SMALL,
    SOME_INK,
    draw,
)
from ..kernels.paper import GRAIN, MIN_CONTRAST, ON_SHEET, TINY
from ..kernels.statistics import contrasts, describe
from .paper import measure
from .picture import drawn
from .prepared import Prepared

BLANK = 0.6
"""Ink, from lightest to darkest, below which a preprocessed image is noise of the paper."""
STATISTICS = ("mean", "deviation", "roughness", "half_tones", "edge")


@dataclass(frozen=True)
class Drawing:
    """Ink on paper to `(1, size, size)` float32, centred and scaled by its own extent.

    The window that becomes the output is a square around the ink's centre of mass whose side is
    `extent` times the ink's standard deviation along its longer axis. Ink is 1 and paper 0
    before they are normalized by `mean` and `std`, which are those of the training images.
    """

    size: int = 28
    extent: float = 4.4
    mean: float = 0.0
    std: float = 1.0

    def __call__(self, rgba: torch.Tensor) -> torch.Tensor:
        """Turn `(..., height, width, 4)` uint8 RGBA into `(..., 1, size, size)` float32.

        Each image is centred and scaled by itself, whatever else is in the batch.
        """
        images = rgba.reshape(-1, *rgba.shape[-3:])
        opacity = images[..., 3].to(torch.float32) / 255
        luminance = sum(
            images[..., channel].to(torch.float32) * (weight / 255)
            for channel, weight in enumerate(LUMINANCE)
        )
        sheet = _Sheet(luminance * opacity, opacity, COARSE * self.size)
        centre, width = self._find_ink(sheet)
        ink = sheet.ink(centre, width, self.size)
        ink = ink / ink.amax((1, 2), keepdim=True).clamp(min=FAINTEST)
        return self.normalized(ink).reshape(*rgba.shape[:-3], 1, self.size, self.size)

    def prepare(self, images: Sequence[torch.Tensor]) -> Prepared:
        """See `Preprocessing`: `Drawing` by `kernels.drawing`, in an eighth of the time."""
        inputs = np.empty((len(images), 1, self.size, self.size), np.float32)
        for image, out in zip(images, inputs, strict=True):
            draw(image.numpy(), self.size, self.extent, self.mean, self.std, out[0])
        blank = contrasts(inputs.reshape(len(images), -1)) * self.std < BLANK
        prepared = torch.from_numpy(inputs)
        return Prepared(prepared, tuple(blank.tolist()), self.statistics(prepared))

    @property
    def useful_side(self) -> None:
        """See `Preprocessing`: thin ink shows in every pixel."""
        return

    def resemblance(self, rgba: torch.Tensor) -> float:
        """See `Preprocessing`."""
        return drawn(rgba)

    @property
    def statistic_names(self) -> tuple[str, ...]:
        """See `Preprocessing`."""
        return STATISTICS

    def statistics(self, images: torch.Tensor) -> torch.Tensor:
        """See `Preprocessing`: `(image, 5)`."""
        statistics = np.empty((len(images), len(STATISTICS)), np.float32)
        describe(images.cpu().contiguous().numpy(), statistics)
        return torch.from_numpy(statistics)

    def fitted(self, images: Iterable[torch.Tensor]) -> Drawing:
        """See `Preprocessing`."""
        pixels = torch.cat(list(images))
        return replace(self, mean=float(pixels.mean()), std=float(pixels.std()))

    def normalized(self, images: torch.Tensor) -> torch.Tensor:
        """See `Preprocessing`."""
        return (images - self.mean) / self.std

    @property
    def background(self) -> torch.Tensor:
        """See `Preprocessing`: that of paper, `(1, 1, 1)`."""
        return torch.full((1, 1, 1), -self.mean / self.std)

    def _find_ink(self, sheet: _Sheet) -> tuple[torch.Tensor, torch.Tensor]:
        """Centre `(image, 2)` and width `(image, 1)` of the window around the ink, in pixels.

        The ink is looked for on the whole sheet first, then in closer windows, so that a small
        drawing on a large sheet is found as exactly as a drawing that fills it.
        """
        cells = COARSE * self.size
        centre, width = sheet.whole()
        small = SMALL * width
        for refinement in range(1, REFINEMENTS + 1):
            window = sheet.ink_of_whole() if refinement == 1 else sheet.ink(centre, width, cells)
            ink = (window - INK_THRESHOLD).clamp(min=0)
            total = ink.sum((1, 2)).unsqueeze(1)
            offset = (torch.arange(cells, device=ink.device) + 0.5) / cells - 0.5
            # `(image, 2, cells)`: the share of the ink that lies in each row and in each column.
            shares = torch.stack([ink.sum(2), ink.sum(1)], 1) / total.clamp(min=TINY).unsqueeze(2)
            middle = (shares * offset).sum(2)
            spread = (shares * (offset - middle.unsqueeze(2)) ** 2).sum(2)
            has_ink = total > SOME_INK
            closer = self.extent * spread.amax(1, keepdim=True).sqrt() * width
            if refinement < REFINEMENTS:
                closer = torch.where(closer < small, LOOSE * closer, closer)
            centre = torch.where(has_ink, centre + middle * width, centre)
            width = torch.where(has_ink, closer.clamp(min=NARROWEST), width)
        return centre, width


class _Sheet:
    """Images of one size as ink on paper; windows of them are resampled on demand."""

    def __init__(self, luminance: torch.Tensor, opacity: torch.Tensor, cells: int) -> None:
        """Take luminance premultiplied by opacity, both `(image, height, width)` in 0..1.

        Paper and ink are told apart in ``cells`` a side.
        """
        self._shown = torch.stack([luminance, opacity], 2)
        self._down = _pixels(opacity, 1)
        self._across = _pixels(opacity, 2)
        light, solid, frame = self._sample(*self.whole(), cells=cells)
        transparent = 1 - _total(solid) / _total(frame)
        tone = _total(light) / _total(solid).clamp(min=TINY)
        # What is opaque on a mostly transparent sheet is ink, so the ground contrasts with it.
        # On a mostly opaque sheet it is paper, so that transparent corners are paper too.
        paper_tone = torch.where(transparent > 0.5, 1 - tone, tone)
        self._ground = (paper_tone >= 0.5).to(torch.float32)
        inside = frame >= ON_SHEET
        shown = self._composite(light, solid, frame)
        low = torch.where(inside, shown, torch.ones_like(shown)).amin((1, 2), keepdim=True)
        high = torch.where(inside, shown, torch.zeros_like(shown)).amax((1, 2), keepdim=True)
        mean = _total(shown * inside) / _total(inside)
        dark_paper = mean < (low + high) / 2 - EVEN
        self._paper = torch.where(dark_paper, low, high)
        sign = torch.where(dark_paper, torch.ones_like(low), -torch.ones_like(low))
        self._gain = sign / (high - low).clamp(min=MIN_CONTRAST)
        self._whole = shown, frame
        self._lit = measure(shown, frame)
        # What is transparent was drawn on a screen, not photographed.
        opaque = (opacity.amin((1, 2), keepdim=True) >= 1).to(torch.float32)
        self._share = self._lit.share * opaque
        self._cells = cells

    def whole(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Centre `(1, 2)` and width `(1, 1)` of the square that holds any of the whole sheets."""
        sides = torch.stack([_length(self._down), _length(self._across)], 1)
        return sides / 2, sides.amax(1, keepdim=True)

    def ink(self, centre: torch.Tensor, width: torch.Tensor, cells: int) -> torch.Tensor:
        """`(image, cells, cells)` of ink: 0 for paper, about 1 for the darkest ink of the sheet."""
        light, solid, frame = self._sample(centre, width, cells)
        shown = self._composite(light, solid, frame)
        level, table = self._paper_in(centre, width, cells)
        return self._as_ink(shown, frame, level, table)

    def ink_of_whole(self) -> torch.Tensor:
        """`ink` of the whole sheet, in the cells that paper and ink were told apart in."""
        return self._as_ink(*self._whole, self._lit.level, self._lit.table)

    def _as_ink(
        self, shown: torch.Tensor, frame: torch.Tensor, level: torch.Tensor, table: torch.Tensor
    ) -> torch.Tensor:
        """Ink against one tone of paper, and as much as the light is uneven against its level."""
        alike = ((shown - self._paper) * self._gain * frame).clamp(min=0)
        darkening = (1 - GRAIN - shown / level.clamp(min=TINY)) * self._lit.gain * frame
        local = darkening.clamp(min=0) * (1 - table)
        return alike + self._share * (local - alike)

    def _paper_in(
        self, centre: torch.Tensor, width: torch.Tensor, cells: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The paper's level and the table in the cells of a window."""
        middle, side = self.whole()
        scale = self._cells / side
        grid = (torch.arange(self._cells, device=width.device) + 0.5).unsqueeze(0)
        place = (centre - middle) * scale + self._cells / 2
        down, across = (
            _resampling(grid, place[:, axis : axis + 1], width * scale, cells) for axis in (0, 1)
        )
        # Beyond the grid goes on what lies at its edge.
        down = down / down.sum(2, keepdim=True).clamp(min=TINY)
        across = across / across.sum(2, keepdim=True).clamp(min=TINY)
        return down @ self._lit.level @ across.mT, down @ self._lit.table @ across.mT

    def _composite(
        self, light: torch.Tensor, solid: torch.Tensor, frame: torch.Tensor
    ) -> torch.Tensor:
        return (light + self._ground * (frame - solid)) / frame.clamp(min=TINY)

    def _sample(
        self, centre: torch.Tensor, width: torch.Tensor, cells: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Premultiplied luminance, opacity and the share of each cell that lies on the sheet."""
        down = _resampling(self._down, centre[:, :1], width, cells)
        across = _resampling(self._across, centre[:, 1:], width, cells)
        rows = (down @ self._shown.flatten(2)).reshape(-1, 2 * cells, self._shown.shape[3])
        light, solid = torch.matmul(rows, across.mT).reshape(-1, cells, 2, cells).unbind(2)
        return light, solid, down.sum(2).unsqueeze(2) * across.sum(2).unsqueeze(1)


def _total(image: torch.Tensor) -> torch.Tensor:
    """`(image, height, width)` to `(image, 1, 1)` sums."""
    return image.sum((1, 2), keepdim=True)


def _pixels(images: torch.Tensor, axis: int) -> torch.Tensor:
    """`(1, length)`: where the middle of each pixel lies along an axis of images."""
    return torch.ones_like(images[:1].select(3 - axis, 0)).cumsum(1) - 0.5


def _length(pixels: torch.Tensor) -> torch.Tensor:
    """`(1,)`: the length of an axis as a tensor that an export keeps dynamic."""
    return pixels[:, -1] + 0.5


def _resampling(
    pixels: torch.Tensor, centre: torch.Tensor, width: torch.Tensor, cells: int
) -> torch.Tensor:
    """The `(image, cells, length)` matrices of a triangle filter as wide as the reduction.

    That is antialiased. Rows sum to 1 where their cell lies on the image and to less beyond its
    edge. ``centre`` and ``width`` of the window are `(image, 1)`, or `(1, 1)` for all alike.
    """
    step = width / cells
    reach = step.clamp(min=1.0)
    cell = centre + (torch.arange(cells, device=pixels.device) + 0.5 - cells / 2) * step
    distance = (pixels.unsqueeze(1) - cell.unsqueeze(2)).abs()
    return (1 - distance / reach.unsqueeze(2)).clamp(min=0) / reach.unsqueeze(2)
