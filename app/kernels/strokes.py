"""How much a picture is thin ink on plain paper: a few numbers of a decoded image.

They are of a coarse grid of luminance. Ink is measured against the paper around, since light may
fall off across a sheet. What the numbers mean is for `images` to say.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .drawing import LUMINANCE
from .jit import Floats, compiled
from .paper import TINY

GRID = 32
"""Cells along the longer side, unless an image has fewer pixels."""
SAMPLES = 4
"""Lines of pixels of a cell that are looked at, at least, where it has as many."""
NEAR = 8
"""A cell's surroundings reach so many times less far than the longer side: ink is narrower."""
MARGIN = 12
"""What lies at the edge, such as a strip of table, does not count: a part of each side."""
DARKEST_PAPER = 0.2
"""Luminance of paper below which ink is not measured in units of it."""
LEVELS = 1024
"""Of ink, where shares of cells are told by counting."""
STRONGEST = 0.995
"""Share of the cells that have less ink than a picture's darkest ink."""
FAINTEST = 0.1
"""Ink that is stretched no further."""
FAINT, HALF, SOLID, INK = 0.08, 0.2, 0.6, 0.5
"""Shares of the darkest ink: faint from the first to the second, half-tones up to the third; above
the last a cell counts as ink."""
THICK = 32
"""Ink that has ink around it so many times less far than the longer side, on all sides."""


@compiled
def measure_strokes(rgba: NDArray[np.uint8], found: Floats) -> None:
    """Fill in ``found`` `(5,)` from `(height, width, 4)` RGBA; each in 0..1.

    The shares of cells with ink, with half-tones, with faint tones, and with ink so far from paper
    that it is no stroke; and the median difference to the paper in units of the darkest ink.
    """
    light = _grid(rgba)
    across = max(light.shape[0], light.shape[1])
    near = max(2, (2 * across + NEAR) // (2 * NEAR))
    lightest, darkest = _widened(light, near), _widened(1 - light, near)
    # Ink is what covers less, dark or light: of either tone the mean difference to the other.
    above, below = 0.0, 0.0
    for y in range(light.shape[0]):
        for x in range(light.shape[1]):
            above += lightest[y, x] - light[y, x]
            below += darkest[y, x] - (1 - light[y, x])
    if below < above:
        light, lightest = 1 - light, darkest
    # The lightest nearby, where it is darkest: paper with its shade, as if no ink lay on it.
    paper = 1 - _widened(1 - lightest, near)
    _describe(_ink(light, paper), found)


@compiled
def _grid(rgba: NDArray[np.uint8]) -> Floats:
    """Mean luminance `(cell, cell)` in 0..1, on a ground that contrasts with what is opaque."""
    height, width, _ = rgba.shape
    longer = max(height, width)
    cells = min(GRID, longer)
    rows = max(1, (2 * height * cells + longer) // (2 * longer))
    columns = max(1, (2 * width * cells + longer) // (2 * longer))
    # A cell of many lines of pixels is known well enough by some of them.
    step = max(1, longer // (cells * SAMPLES))
    light = np.zeros((rows, columns), np.float32)
    solid = np.zeros((rows, columns), np.float32)
    shown, opacity = np.empty(width, np.float32), np.empty(width, np.float32)
    for row in range(rows):
        shown[:], opacity[:] = 0, 0
        top, bottom = row * height // rows, (row + 1) * height // rows
        # Down first, along lines of pixels, which lie side by side; then across.
        for y in range(top, bottom, step):
            line = rgba[y]
            for x in range(width):
                alpha = line[x, 3] * np.float32(1 / 255)
                opacity[x] += alpha
                shown[x] += alpha * (
                    line[x, 0] * np.float32(LUMINANCE[0] / 255)
                    + line[x, 1] * np.float32(LUMINANCE[1] / 255)
                    + line[x, 2] * np.float32(LUMINANCE[2] / 255)
                )
        n_lines = (bottom - top + step - 1) // step
        for column in range(columns):
            left, right = column * width // columns, (column + 1) * width // columns
            n_seen = np.float32((right - left) * n_lines)
            light[row, column] = shown[left:right].sum() / n_seen
            solid[row, column] = opacity[left:right].sum() / n_seen
    _lay_on_ground(light, solid)
    return light


@compiled
def _lay_on_ground(light: Floats, solid: Floats) -> None:
    """Lay premultiplied luminance on the ground, in place."""
    covered = solid.sum()
    # As `drawing` has it: opaque on a mostly transparent sheet is ink, on an opaque one paper.
    tone = light.sum() / max(covered, np.float32(TINY))
    if covered < light.size / 2:
        tone = 1 - tone
    ground = np.float32(tone >= 0.5)
    for y in range(len(light)):
        for x in range(light.shape[1]):
            # Rounding must not lead out of 0..1.
            light[y, x] = min(light[y, x] + ground * (1 - solid[y, x]), np.float32(1))


@compiled
def _widened(plane: Floats, reach: int) -> Floats:
    """The largest value within ``reach`` cells, in a square, of each cell."""
    # Along one axis, then along the other: a square is both.
    across = np.ascontiguousarray(_widened_down(plane, reach).T)
    return np.ascontiguousarray(_widened_down(across, reach).T)


@compiled
def _widened_down(plane: Floats, reach: int) -> Floats:
    """The largest value within ``reach`` rows of each cell."""
    rows, columns = plane.shape
    wanted, seen = 2 * reach + 1, 1
    # Nothing lies beyond the edges: all values are 0 or more.
    largest = np.zeros((rows + 2 * reach, columns), np.float32)
    largest[reach : reach + rows] = plane
    # The largest of twice as many rows is that of two that are known; at last they overlap.
    while seen < wanted:
        further = min(seen, wanted - seen)
        for y in range(len(largest) - further):
            here, there = largest[y], largest[y + further]
            for x in range(columns):
                # A choice of two, unlike `max`, runs in the processor's wide registers.
                here[x] = there[x] if there[x] > here[x] else here[x]  # noqa: FURB136
        seen += further
    return largest[:rows]


@compiled
def _ink(light: Floats, paper: Floats) -> Floats:
    """The difference to the paper around, in units of it: 0..1, without the margin."""
    rows, columns = light.shape
    down, across = (rows + MARGIN // 2) // MARGIN, (columns + MARGIN // 2) // MARGIN
    ink = np.empty((rows - 2 * down, columns - 2 * across), np.float32)
    for y in range(len(ink)):
        for x in range(ink.shape[1]):
            around = paper[y + down, x + across]
            # The lightest of all that is near is never darker than the cell itself.
            ink[y, x] = (around - light[y + down, x + across]) / max(
                around, np.float32(DARKEST_PAPER)
            )
    return ink


@compiled
def _describe(ink: Floats, found: Floats) -> None:
    """What `measure_strokes` tells of an image, from its ink."""
    rows, columns = ink.shape
    # Counting finds a share of the cells many times as fast as sorting does.
    counts = np.zeros(LEVELS + 1, np.int64)
    for value in ink.ravel():
        counts[int(value * LEVELS)] += 1
    middle = _level(counts, 0.5)
    darkest = max(_level(counts, STRONGEST) - middle, FAINTEST)
    n_ink, n_half, n_faint, n_thick = 0, 0, 0, 0
    around = max(1, (2 * max(rows, columns) + THICK) // (2 * THICK))
    # Against the paper's own noise, of which half of the cells have less.
    least = np.float32(middle + INK * darkest)
    for y in range(rows):
        for x in range(columns):
            relative = (ink[y, x] - middle) / darkest
            n_ink += relative > INK
            n_half += HALF < relative < SOLID
            n_faint += FAINT < relative < HALF
            # Seldom is there any ink, and seldomer thick ink, to look further for.
            if ink[y, x] > least:
                n_thick += _surrounded(ink, y, x, around, least)
    found[0] = n_ink / ink.size
    found[1] = n_half / ink.size
    found[2] = n_faint / ink.size
    found[3] = n_thick / ink.size
    found[4] = middle / darkest


@compiled
def _level(counts: NDArray[np.int64], share: float) -> float:
    """The ink that a share of the cells has less of, or as much."""
    wanted, level = share * counts.sum(), 0
    n_seen = counts[0]
    # There is always a level at which enough were seen, the last at the latest.
    while n_seen < wanted:
        level += 1
        n_seen += counts[level]
    return level / LEVELS


@compiled
def _surrounded(ink: Floats, y: int, x: int, around: int, least: np.float32) -> bool:
    """Whether a cell has ink on all sides, so far away."""
    rows, columns = ink.shape
    if y < around or x < around or y + around >= rows or x + around >= columns:
        return False
    for i in (y - around, y, y + around):
        for j in (x - around, x, x + around):
            if not ink[i, j] > least:
                return False
    return True
