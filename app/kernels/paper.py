"""The paper of a photographed drawing as machine code.

The tensor operations of `images.paper` are the definition. Nearly all drawings lie in even light,
which one pass over their cells tells: only the others pay for the rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import Floats, compiled

MIN_CONTRAST = 32 / 255
"""Luminance between paper and ink below which a difference counts as noise of the paper."""
ON_SHEET = 0.499
"""Share of a cell on the sheet from which on it counts where paper and ink are told apart. A
little less than half, so that a cell of which just half lies there counts whatever the rounding."""
TINY = 1e-6

# Sides and distances are in cells of the coarse grid, of which a sheet has 56 for an output of 28.
# Pairs are the ends of a ramp from no to yes: nothing tips over from one value to the next.
CLOSING = 15
"""Wider than strokes, and narrower than what light does."""
PAPER = (0.8, 0.88)
"""Luminance over what a closing leaves of it."""
FLOOR = (0.2, 0.3)
"""Luminance over that of the lightest paper: black ink is not paper, however broad it is."""
TOLERANCE = (0.08, 0.12)
"""By what paper may differ from its level, in units of it."""
REFINEMENTS = 2
GRAIN = 0.03
"""By what paper may be darker than its level and still have no ink, in units of it."""
BOXES = ((5, 1.0), (15, 1e-3), (45, 1e-6))
"""Sides of the windows that are averaged over, and their say: the widest counts alone where no
paper is nearer."""
LEAST_PAPER = (0.4, 0.5)
"""Share of the sheet that is paper without ink."""
LEAST_SHEET = (0.55, 0.65)
"""Share of the picture that is not table."""
BLOCKS = 6
"""Blocks along a side of the grid, each with some paper where the light is even."""
UNEVEN = (0.08, 0.16)
"""By what the level falls, in units of the contrast between paper and ink."""
STEP, DARKER = 7, (1.1, 1.3)
"""Cells within which the level changes, and how much darker than that change the darkest ink is."""
SUDDEN = (0.07, 0.11)
"""By what neighbouring cells differ where there is an edge of something."""
REACH, SHARP, DARK = 20, 4, 0.72
"""How far from a side table may reach, within what its edge lies, and its luminance over that of
paper ahead."""
LINED, STRAY_ROWS = 0.9, 0.35
"""Shares of the rows of a strip of table that end sharply, and that may end off its edge."""
OFF_LINE, WITH_EDGE = 1.5, 1.5
"""Cells between a row's end and the edge of a strip; and beyond the edge, which blurs."""
REFITS = 4
TOUCHING, STRAY = (0.3, 0.5), (0.2, 1.0)
"""Ink, in units of the darkest, that counts where a sheet beside a table is to have a margin; and
how many cells of it are too many."""

Value = float | np.float32
Masks = NDArray[np.bool_]
Measured = tuple[float, Floats, Floats, float]
"""`images.paper.Paper`: its share, level, table and gain."""


@compiled
def is_even(shown: Floats, frame: Floats, low: float, high: float) -> bool:
    """Whether a quick look at ``shown`` `(cell, cell)` tells that the share of `measure` is 0.

    ``low`` and ``high`` are the least and greatest luminance on the sheet.
    """
    cells = len(shown)
    side = cells // BLOCKS
    contrast = max(_fall(low, high), MIN_CONTRAST)
    light, floor = high * (1 - UNEVEN[0] * contrast), FLOOR[0] * high
    for top in range(0, cells - side + 1, side):
        for left in range(0, cells - side + 1, side):
            if not _is_light(shown, frame, top, left, side, light, floor):
                return False
    return not _may_have_table(shown, frame, high)


@compiled
def _is_light(
    shown: Floats, frame: Floats, top: int, left: int, side: int, light: float, floor: float
) -> bool:
    """Whether a block has a cell as ``light`` as paper, or none above the ``floor``: see below."""
    lightest = 0.0
    for y in range(top, top + side):
        for x in range(left, left + side):
            # Beyond the sheet cells have no luminance of their own.
            if frame[y, x] >= np.float32(ON_SHEET):
                lightest = max(lightest, float(shown[y, x]))
                # Mostly the first one is paper.
                if lightest >= light:
                    return True
    return lightest < floor


@compiled
def _may_have_table(shown: Floats, frame: Floats, high: float) -> bool:
    """Whether nearly all of the outermost cells along some side are dark."""
    cells = len(shown)
    for side in range(4):
        rows, light = 0, 0
        for row in range(cells):
            # A side of paper is known for one by its first rows.
            if light > (1 - LINED) * cells:
                break
            for place in range(cells):
                y, x = _place(side, row, place, cells)
                if frame[y, x] >= np.float32(ON_SHEET):
                    rows += 1
                    light += shown[y, x] >= DARK * high
                    break
        if rows - light >= LINED * rows:
            return True
    return False


@compiled
def measure(shown: Floats, frame: Floats) -> Measured:
    """The paper of an opaque sheet, as `images.paper.measure` has it."""
    inside = frame >= np.float32(ON_SHEET)
    table, rim = _table(shown, inside)
    has_table = table.any()
    # Table is dark to what looks for the lightest.
    paper = inside & ~table
    lit = np.where(paper, shown, np.float32(0))
    level, weight = _level(lit, inside, paper)
    darkest, covered, whole, picture = 0.0, 0.0, 0, 0
    for y in range(len(lit)):
        for x in range(len(lit)):
            picture += inside[y, x]
            if paper[y, x]:
                darkest = max(darkest, _fall(lit[y, x], level[y, x]))
                covered += float(weight[y, x])
                whole += 1
    share = _ramp(covered / max(whole, TINY), LEAST_PAPER)
    share *= _ramp(whole / picture, LEAST_SHEET)
    share *= _told_apart(lit, level, paper, darkest)
    if has_table:
        touching = 0.0
        for y in range(len(lit)):
            for x in range(len(lit)):
                if rim[y, x] and not table[y, x]:
                    darkening = _fall(lit[y, x], level[y, x])
                    touching += _ramp(darkening / max(darkest, TINY), TOUCHING)
        share *= 1 - _ramp(touching, STRAY)
    else:
        share *= _unevenness(lit, level, paper)
    return share, level, table.astype(np.float32), 1 / max(darkest - GRAIN, MIN_CONTRAST)


@compiled
def _place(side: int, row: int, place: int, cells: int) -> tuple[int, int]:
    """The cell that lies so far from a side, left, right, top or bottom, in a row from there."""
    if side == 0:
        return row, place
    if side == 1:
        return row, cells - 1 - place
    if side == 2:
        return place, row
    return cells - 1 - place, row


@compiled
def _table(shown: Floats, inside: Masks) -> tuple[Masks, Masks]:
    """Which cells are table, and which lie outermost along the sides that have none."""
    cells = len(shown)
    table, rim = np.zeros((cells, cells), np.bool_), np.zeros((cells, cells), np.bool_)
    widths, rows = np.empty(cells, np.float32), np.empty(cells, np.float32)
    sharp = np.empty(cells, np.float32)
    for side in range(4):
        before = _runs(shown, inside, side, widths, rows, sharp)
        has_strip, mean, tilt, middle = _edge(widths, rows, sharp)
        for row in range(cells):
            outermost = True
            edge = before + mean + tilt * (row + 1 - middle) + WITH_EDGE
            for place in range(cells):
                y, x = _place(side, row, place, cells)
                if has_strip:
                    # Beyond the sheet too, for looks that see a little of it.
                    table[y, x] |= place < edge
                elif inside[y, x] and outermost:
                    rim[y, x], outermost = True, False
    return table, rim


@compiled
def _runs(
    shown: Floats, inside: Masks, side: int, widths: Floats, rows: Floats, sharp: Floats
) -> int:
    """Fill in how many cells of each row, from a side on, are darker than what lies ahead.

    ``rows`` are 1 where a row is on the sheet, ``sharp`` where its run ends within few cells.
    Returns the cells between side and sheet.
    """
    cells = len(shown)
    before = cells
    for row in range(cells):
        widths[row], rows[row], sharp[row], running = 0, 0, 0, True
        for place in range(cells):
            y, x = _place(side, row, place, cells)
            if not inside[y, x]:
                continue
            before = min(before, place)
            rows[row] = 1
            if not running:
                break
            ahead, beside = np.float32(0), np.float32(0)
            for farther in range(place, min(place + REACH, cells)):
                there = _place(side, row, farther, cells)
                ahead = max(ahead, shown[there] if inside[there] else np.float32(0))
                if farther < place + SHARP:
                    beside = ahead
            running = shown[y, x] < np.float32(DARK) * ahead
            # A table ends at once where the paper begins, a shadow little by little.
            if running and shown[y, x] < np.float32(DARK) * beside:
                sharp[row] = 1
            widths[row] += running
    return before


@compiled
def _edge(widths: Floats, rows: Floats, sharp: Floats) -> tuple[bool, float, float, float]:
    """Whether runs end at a straight line, and that line: its mean, its tilt and its middle row."""
    weight = sharp.copy()
    n_rows, lined = rows.sum(), sharp.sum()
    mean, tilt, middle = 0.0, 0.0, 0.0
    for _ in range(REFITS):
        total = max(float(weight.sum()), TINY)
        middle, mean = 0.0, 0.0
        for row in range(len(rows)):
            middle += weight[row] * (row + 1) / total
            mean += weight[row] * widths[row] / total
        spread, together = 0.0, 0.0
        for row in range(len(rows)):
            spread += weight[row] * (row + 1 - middle) ** 2
            together += weight[row] * (row + 1 - middle) * (widths[row] - mean)
        tilt = together / max(spread, TINY)
        # Strokes that meet the strip lengthen some rows: these have less weight.
        stray = 0.0
        for row in range(len(rows)):
            off = widths[row] - mean - tilt * (row + 1 - middle)
            weight[row] = rows[row] / (1 + off**2)
            stray += rows[row] * (abs(off) > OFF_LINE)
    return lined >= LINED * n_rows and stray <= STRAY_ROWS * n_rows, mean, tilt, middle


@compiled
def _level(lit: Floats, inside: Masks, paper: Masks) -> tuple[Floats, Floats]:
    """The paper's luminance in every cell, and how surely each is paper."""
    cells = len(lit)
    closed = _extreme(lit, inside, CLOSING, True)
    closed = _extreme(closed, inside, CLOSING, False)
    high = max(lit.max(), np.float32(TINY))
    weight, level = np.zeros((cells, cells), np.float32), closed
    for refinement in range(REFINEMENTS + 1):
        for y in range(cells):
            for x in range(cells):
                if paper[y, x]:
                    against = lit[y, x] / max(level[y, x], np.float32(TINY))
                    # The first guess is the closing, which is too light rather than too dark.
                    sure = (
                        _ramp(against, PAPER)
                        if refinement == 0
                        else 1 - _ramp(abs(against - 1), TOLERANCE)
                    )
                    weight[y, x] = sure * _ramp(lit[y, x] / high, FLOOR)
        weight = _without_edges(weight, paper)
        level = _smoothed(lit, weight)
    return level, weight


@compiled
def _without_edges(weight: Floats, paper: Masks) -> Floats:
    """Take away the weight of cells beside ink, which a stroke darkens in part."""
    least = _extreme(weight, paper, 3, False)
    return np.where(paper, least, np.float32(0))


@compiled
def _extreme(image: Floats, among: Masks, side: int, highest: bool) -> Floats:
    """The highest or the lowest of a window around each cell, `among` those that count.

    Where none does it is what nothing undercuts or exceeds: 0 as the highest, 1 as the lowest.
    """
    cells, reach = len(image), side // 2
    sign = np.float32(1 if highest else -1)
    found = np.where(among, sign * image, np.float32(0 if highest else -1))
    # A window is a line of lines: along the rows, then, turned, along the columns.
    for _ in range(2):
        along = np.empty((cells, cells), np.float32)
        for y in range(cells):
            for x in range(cells):
                most = found[y, x]
                for place in range(max(0, x - reach), min(cells, x + reach + 1)):
                    most = max(most, found[y, place])
                along[x, y] = most
        found = along
    return sign * found


@compiled
def _smoothed(lit: Floats, weight: Floats) -> Floats:
    """Weighted means over the neighbourhood; over a wider one where there is no weight near."""
    cells = len(lit)
    weighed = weight * lit
    level, total = np.zeros((cells, cells), np.float32), np.zeros((cells, cells), np.float32)
    for side, say in BOXES:
        level += np.float32(say / side**2) * _sums(weighed, side)
        total += np.float32(say / side**2) * _sums(weight, side)
    for y in range(cells):
        for x in range(cells):
            level[y, x] /= max(total[y, x], np.float32(TINY**2))
    return level


@compiled
def _sums(image: Floats, side: int) -> Floats:
    """The sums of a window around each cell, with nothing beyond the grid."""
    cells, reach = len(image), side // 2
    found = image
    for _ in range(2):
        along = np.empty((cells, cells), np.float32)
        # Of running sums two are subtracted: in double precision nothing is lost by that.
        running = np.zeros(cells + 1, np.float64)
        for y in range(cells):
            for x in range(cells):
                running[x + 1] = running[x] + found[y, x]
            for x in range(cells):
                along[x, y] = running[min(cells, x + reach + 1)] - running[max(0, x - reach)]
        found = along
    return found


@compiled
def _unevenness(lit: Floats, level: Floats, paper: Masks) -> float:
    """From 0 for light that is even beside the contrast of the ink to 1."""
    low, high, dimmest, brightest = 1.0, 0.0, 1.0, 0.0
    for y in range(len(lit)):
        for x in range(len(lit)):
            if paper[y, x]:
                value, around = float(lit[y, x]), float(level[y, x])
                low, high = min(low, value), max(high, value)
                dimmest, brightest = min(dimmest, around), max(brightest, around)
    contrast = max(_fall(low, high), MIN_CONTRAST)
    fall = min(_fall(dimmest, brightest), _fall_of_blocks(lit, high))
    return _ramp(fall / contrast, UNEVEN)


@compiled
def _fall_of_blocks(lit: Floats, high: float) -> float:
    """By what share the lightest cell of a block falls below the lightest of all, at most."""
    side = len(lit) // BLOCKS
    least = high
    for top in range(0, len(lit) - side + 1, side):
        for left in range(0, len(lit) - side + 1, side):
            lightest = float(lit[top : top + side, left : left + side].max())
            # Black blocks are ink, or lie beyond the sheet.
            if lightest >= FLOOR[0] * high:
                least = min(least, lightest)
    return _fall(least, high)


@compiled
def _told_apart(lit: Floats, level: Floats, paper: Masks, darkest: float) -> float:
    """1 where ink stands out from all else that changes, 0 where it does not."""
    # Where the level falls, and where something is lighter than it.
    change = _steepest(level, paper, STEP)
    for y in range(len(lit)):
        for x in range(len(lit)):
            if paper[y, x]:
                change = max(change, -_fall(lit[y, x], level[y, x]))
    # A sheet without any edge has no ink that the level could have followed.
    edge = _steepest(lit, paper, 3)
    return max(1 - _ramp(edge, SUDDEN), _ramp(darkest / max(change, TINY), DARKER))


@compiled
def _steepest(image: Floats, paper: Masks, side: int) -> float:
    """The greatest share by which paper's luminance falls within a window."""
    highest, lowest = _extreme(image, paper, side, True), _extreme(image, paper, side, False)
    most = 0.0
    for y in range(len(image)):
        for x in range(len(image)):
            if paper[y, x]:
                most = max(most, _fall(lowest[y, x], highest[y, x]))
    return most


@compiled
def _fall(lower: Value, higher: Value) -> float:
    """By what share one luminance lies below another."""
    return 1 - float(lower) / max(float(higher), TINY)


@compiled
def _ramp(value: Value, ends: tuple[float, float]) -> float:
    """0 below the first end, 1 above the second."""
    return min(max((float(value) - ends[0]) / (ends[1] - ends[0]), 0.0), 1.0)
