"""The paper of a drawing that was photographed: its level under uneven light, and the table.

Defined by tensor operations that ONNX has, on the coarse grid in which a whole sheet is looked at;
`kernels.paper` has it as machine code, and the numbers that both go by.

Light on paper changes slowly, and ink is narrow: the paper's level is what a closing leaves,
smoothed over the cells that turn out to be paper. A photographed sheet has a margin, and a drawing
that fills its sheet reaches every side of it: so a dark strip with a straight edge along a side is
table only where nothing else reaches another side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ..kernels.paper import (
    BLOCKS,
    BOXES,
    CLOSING,
    DARK,
    DARKER,
    FLOOR,
    GRAIN,
    LEAST_PAPER,
    LEAST_SHEET,
    LINED,
    MIN_CONTRAST,
    OFF_LINE,
    ON_SHEET,
    PAPER,
    REACH,
    REFINEMENTS,
    REFITS,
    SHARP,
    STEP,
    STRAY,
    STRAY_ROWS,
    SUDDEN,
    TINY,
    TOLERANCE,
    TOUCHING,
    UNEVEN,
    WITH_EDGE,
)


@dataclass(frozen=True)
class Paper:
    """What ink is measured against where the light is uneven.

    ``level`` `(image, cells, cells)` is the paper's luminance in 0..1, ``table`` alike 1 where a
    cell shows the table and 0 elsewhere. ``gain`` `(image, 1, 1)` brings the darkest ink to 1, and
    ``share`` alike in 0..1 is how much all this has to say: nothing where the light is even.
    """

    level: torch.Tensor
    table: torch.Tensor
    gain: torch.Tensor
    share: torch.Tensor


def measure(shown: torch.Tensor, frame: torch.Tensor) -> Paper:
    """The paper of opaque sheets.

    ``shown`` `(image, cells, cells)` is luminance in 0..1, ``frame`` the share of a cell that lies
    on the sheet.
    """
    inside = (frame >= ON_SHEET).expand_as(shown)
    table, rim = _table(shown * inside, inside)
    paper = inside & ~table
    lit = shown * paper
    level, weight = _level(lit, inside, paper)
    darkening = (1 - lit / level.clamp(min=TINY)) * paper
    darkest = _most(darkening)
    touching = _total(_ramp(darkening / darkest.clamp(min=TINY), TOUCHING) * rim)
    told = (1 - _ramp(touching, STRAY)) * _told_apart(lit, level, paper, darkest)
    told = told * _ramp(_total(weight) / _total(paper).clamp(min=TINY), LEAST_PAPER)
    told = told * _ramp(_total(paper) / _total(inside), LEAST_SHEET)
    uneven = torch.where(_any(table), torch.ones_like(told), _unevenness(lit, level, paper))
    gain = 1 / (darkest - GRAIN).clamp(min=MIN_CONTRAST)
    return Paper(level, table.to(shown.dtype), gain, told * uneven)


def _table(shown: torch.Tensor, inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which cells are table; where there is any, the cells along the sides that have none."""
    table, rim = torch.zeros_like(inside), torch.zeros_like(inside)
    for side in range(4):
        on_sheet = _turned(inside, side)
        strip = _strip(_turned(shown, side), on_sheet)
        outermost = on_sheet & (on_sheet.to(torch.float32).cumsum(2) == 1)
        table = table | _turned(strip, side, back=True)
        rim = rim | _turned(outermost & ~_any(strip), side, back=True)
    return table, rim & ~table & _any(table)


def _strip(shown: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """The cells of a dark strip with a straight edge along the left side, if there is one."""
    ahead = functional.max_pool1d(functional.pad(shown, (0, REACH - 1)), REACH, 1)
    paper = inside & (shown >= DARK * ahead)
    # Of each row, the cells from the side on before any that is paper.
    run = inside & (paper.to(torch.float32).cumsum(2) == 0)
    width, rows = run.to(torch.float32).sum(2), inside.any(2).to(torch.float32)
    # A table ends at once where the paper begins, a shadow little by little.
    beside = functional.max_pool1d(functional.pad(shown, (0, SHARP - 1)), SHARP, 1)
    sharp = (run & (shown < DARK * beside)).any(2).to(torch.float32)
    place = torch.ones_like(width).cumsum(1)
    edge, weight = torch.zeros_like(width), sharp
    # Strokes that meet the strip lengthen some rows: what lies off the line has less weight.
    for _ in range(REFITS):
        total = weight.sum(1, keepdim=True).clamp(min=TINY)
        middle = (weight * place).sum(1, keepdim=True) / total
        mean = (weight * width).sum(1, keepdim=True) / total
        spread = (weight * (place - middle) ** 2).sum(1, keepdim=True).clamp(min=TINY)
        tilt = (weight * (place - middle) * (width - mean)).sum(1, keepdim=True) / spread
        edge = mean + tilt * (place - middle)
        weight = rows / (1 + (width - edge) ** 2)
    lined = sharp.sum(1) >= LINED * rows.sum(1)
    stray = (rows * ((width - edge).abs() > OFF_LINE)).sum(1)
    straight = lined & (stray <= STRAY_ROWS * rows.sum(1))
    before = (inside.any(1).to(torch.float32).cumsum(1) == 0).to(torch.float32).sum(1)
    across = torch.ones_like(shown).cumsum(2) - 1
    until = (before.unsqueeze(1) + edge + WITH_EDGE).unsqueeze(2)
    return straight.reshape(-1, 1, 1) & (across < until)


def _level(
    lit: torch.Tensor, inside: torch.Tensor, paper: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The paper's luminance in every cell, and how surely each cell is paper, 0..1."""
    dilated = _highest(lit, CLOSING)
    closed = -_highest(torch.where(inside, -dilated, -torch.ones_like(lit)), CLOSING)
    bright = _ramp(lit / _most(lit).clamp(min=TINY), FLOOR) * paper
    weight = _without_edges(bright * _ramp(lit / closed.clamp(min=TINY), PAPER), paper)
    level = _smoothed(lit, weight)
    for _ in range(REFINEMENTS):
        off = (lit / level.clamp(min=TINY) - 1).abs()
        weight = _without_edges(bright * (1 - _ramp(off, TOLERANCE)), paper)
        level = _smoothed(lit, weight)
    return level, weight


def _without_edges(weight: torch.Tensor, paper: torch.Tensor) -> torch.Tensor:
    """Take away the weight of cells beside ink, which a stroke darkens in part."""
    return (1 - _highest((1 - weight) * paper, 3)) * paper


def _smoothed(lit: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted means over the neighbourhood; over a wider one where there is no weight near."""
    level, total = torch.zeros_like(lit), torch.zeros_like(lit)
    for side, say in BOXES:
        level = level + say * _mean(weight * lit, side)
        total = total + say * _mean(weight, side)
    return level / total.clamp(min=TINY**2)


def _unevenness(lit: torch.Tensor, level: torch.Tensor, paper: torch.Tensor) -> torch.Tensor:
    """From 0 for light that is even beside the contrast of the ink to 1: `(image, 1, 1)`."""
    high, low = _most(lit), -_most(torch.where(paper, -lit, -torch.ones_like(lit)))
    contrast = ((high - low) / high.clamp(min=TINY)).clamp(min=MIN_CONTRAST)
    dimmest = -_most(torch.where(paper, -level, -torch.ones_like(level)))
    fall = 1 - dimmest / _most(level * paper).clamp(min=TINY)
    # The quicker look of the kernel: where every block has light paper, light is even.
    side = lit.shape[-1] // BLOCKS
    blocks = functional.max_pool2d(lit.unsqueeze(1), side).squeeze(1)
    seen = torch.where(blocks < FLOOR[0] * high, high, blocks)
    quick = 1 + _most(-seen) / high.clamp(min=TINY)
    return _ramp(torch.minimum(fall, quick) / contrast, UNEVEN)


def _told_apart(
    lit: torch.Tensor, level: torch.Tensor, paper: torch.Tensor, darkest: torch.Tensor
) -> torch.Tensor:
    """1 where ink stands out from all else that changes, 0 where it does not: `(image, 1, 1)`.

    There the level may have followed thick ink, or light ink on darker paper. A sheet without any
    edge has none.
    """
    lighter = _most((lit / level.clamp(min=TINY) - 1) * paper)
    change = torch.maximum(_steepest(level, paper, STEP), lighter)
    smooth = 1 - _ramp(_steepest(lit, paper, 3), SUDDEN)
    return torch.maximum(smooth, _ramp(darkest / change.clamp(min=TINY), DARKER))


def _steepest(image: torch.Tensor, paper: torch.Tensor, side: int) -> torch.Tensor:
    """The greatest share by which paper's luminance falls within a window: `(image, 1, 1)`."""
    highest = _highest(image * paper, side)
    lowest = -_highest(torch.where(paper, -image, -torch.ones_like(image)), side)
    return _most((1 - lowest / highest.clamp(min=TINY)) * paper)


def _turned(image: torch.Tensor, side: int, back: bool = False) -> torch.Tensor:
    """With the ``side`` 0 to 3, left, right, top and bottom, on the left; or from there back."""
    if side < 2:
        return image if side == 0 else image.flip(2)
    if side == 2:
        return image.mT
    return image.flip(2).mT if back else image.mT.flip(2)


def _ramp(values: torch.Tensor, ends: tuple[float, float]) -> torch.Tensor:
    """0 below the first end, 1 above the second."""
    return ((values - ends[0]) / (ends[1] - ends[0])).clamp(0, 1)


def _highest(image: torch.Tensor, side: int) -> torch.Tensor:
    """The maximum over a window of so many cells a side around each."""
    return functional.max_pool2d(image.unsqueeze(1), side, 1, side // 2).squeeze(1)


def _mean(image: torch.Tensor, side: int) -> torch.Tensor:
    """The mean over such a window, with 0 beyond the grid."""
    return functional.avg_pool2d(image.unsqueeze(1), side, 1, side // 2).squeeze(1)


def _total(image: torch.Tensor) -> torch.Tensor:
    return image.sum((1, 2), keepdim=True)


def _most(image: torch.Tensor) -> torch.Tensor:
    return image.amax((1, 2), keepdim=True)


def _any(image: torch.Tensor) -> torch.Tensor:
    return image.to(torch.float32).amax((1, 2), keepdim=True) > 0
