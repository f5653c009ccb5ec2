"""`Drawing` of one image as machine code.

The tensor operations of `drawing` are the definition. This does the same in an eighth of the
time, and looks only at the pixels that a cell of the output sees. Numbers agree to float32's
rounding: sums run in another order.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .jit import Floats, compiled
from .paper import GRAIN, MIN_CONTRAST, ON_SHEET, TINY, Measured, is_even, measure

COARSE = 2
"""Cells of the grid that the ink is looked for on, per cell of the output, along one side."""
REFINEMENTS = 2
SMALL, LOOSE = 0.1, 2.0
"""A window below this share of the sheet was seen too coarsely to be trusted: the next look is at
one so many times as wide."""
INK_THRESHOLD = 0.25
FAINTEST = 0.25
"""Ink that is stretched no further, however little of it there is."""
NARROWEST = 4.0
"""Pixels a side of the smallest window."""
SOME_INK = 0.5
"""Cells of ink, taken together, below which a look has found none."""
EVEN = 1e-4
"""Luminance within which paper and ink take up as much of the sheet: then the paper is light."""
LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""

Taps = tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]
"""Of each cell along an axis: the first pixel that it sees, how many, their weights
`(cell, pixel)` and the sum of these."""


@compiled
def draw(
    rgba: NDArray[np.uint8], size: int, extent: float, mean: float, std: float, out: Floats
) -> None:
    """Turn `(height, width, 4)` RGBA into ``out``, `(size, size)`, as `Drawing` does."""
    light, solid, opaque = _planes(rgba)
    height, width, _ = rgba.shape
    cells = COARSE * size
    # The first look is at the whole sheet, as a square around its middle.
    middle_down, middle_across, side = height / 2, width / 2, float(max(height, width))
    small = SMALL * side
    grid, scale = cells, cells / side
    ground, tones, even, lit = 0.0, (0.0, 0.0), True, _unmeasured()
    for look in range(REFINEMENTS + 1):
        # Looks before the last only seek the ink, on a finer grid than the output's.
        if look == REFINEMENTS:
            cells = size
        # Filters along the axes are separable, and the same for light and opacity.
        down = _taps(middle_down, side, cells, height)
        across = _taps(middle_across, side, cells, width)
        ink = _resampled(light, down, across)
        frame = _frame(down[3], across[3])
        # An opaque image, as most are, spares the second resampling.
        covered = frame if opaque else _resampled(solid, down, across)
        # Told from the whole sheet, once: a closer look may see ink alone.
        if look == 0:
            ground = _ground(ink, covered, frame)
        _composite(ink, covered, frame, ground)
        if look == 0:
            # So are paper and ink, by which all looks must agree.
            low, high, shade = _range(ink, frame)
            tones = _tones(low, high, shade)
            # What is transparent was drawn on a screen, not photographed.
            even = not opaque or is_even(ink, frame, low, high)
            if not even:
                lit = measure(ink, frame)
        if even:
            _to_ink(ink, frame, tones)
        else:
            # The paper's level was measured in the first look's cells.
            seen_down = (middle_down - height / 2) * scale + grid / 2
            seen_across = (middle_across - width / 2) * scale + grid / 2
            _to_ink_in_light(ink, frame, tones, lit, (seen_down, seen_across, side * scale))
        if look < REFINEMENTS:
            total, off_down, off_across, spread = _moments(ink)
            # A sheet without ink is seen whole, whatever noise there is.
            if total > SOME_INK:
                # A window in proportion to the ink's deviation is hardly moved by a stray dot.
                closer = extent * spread * side
                if look < REFINEMENTS - 1 and closer < small:
                    closer *= LOOSE
                middle_down += off_down * side
                middle_across += off_across * side
                # Below a few pixels there is nothing left to resample.
                side = max(closer, NARROWEST)
        else:
            _standardise(ink, mean, std, out)


@compiled
def _planes(rgba: NDArray[np.uint8]) -> tuple[Floats, Floats, bool]:
    """Luminance premultiplied by opacity, and opacity, both in 0..1; whether all is opaque.

    Of an opaque image the second one is empty.
    """
    height, width, _ = rgba.shape
    red, green, blue = (
        np.float32(LUMINANCE[0] / 255),
        np.float32(LUMINANCE[1] / 255),
        np.float32(LUMINANCE[2] / 255),
    )
    # Opacity is looked for on the way: one pass is enough where all is opaque.
    light = np.empty((height, width), np.float32)
    least = np.uint8(255)
    for y in range(height):
        for x in range(width):
            light[y, x] = rgba[y, x, 0] * red + rgba[y, x, 1] * green + rgba[y, x, 2] * blue
            least = min(least, rgba[y, x, 3])
    if least == 255:
        return light, np.empty((0, 0), np.float32), True
    # Premultiplied: averages over cells are then those of light that arrives, edges included.
    solid = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            solid[y, x] = rgba[y, x, 3] / np.float32(255)
            light[y, x] *= solid[y, x]
    return light, solid, False


@compiled
def _taps(centre: float, side: float, cells: int, length: int) -> Taps:
    """A triangle filter as wide as the reduction: `drawing._resampling` without its zeros."""
    step = side / cells
    # Enlarging interpolates between neighbours; reducing averages over as much as a cell covers.
    reach = max(step, 1.0)
    first = np.empty(cells, np.int64)
    count = np.zeros(cells, np.int64)
    # Only pixels under the triangle have a weight: at most twice its reach, and two for the ends.
    weight = np.empty((cells, min(length, int(2 * reach) + 2)), np.float32)
    total = np.zeros(cells, np.float32)
    for cell in range(cells):
        # Half a pixel off, since pixels lie around their centres.
        middle = centre + (cell + 0.5 - cells / 2) * step - 0.5
        start = max(0, math.ceil(middle - reach))
        end = min(length, math.floor(middle + reach) + 1)
        first[cell] = start
        count[cell] = max(0, end - start)
        for place in range(count[cell]):
            share = max(0.0, 1 - abs(start + place - middle) / reach) / reach
            weight[cell, place] = share
            # Not normalised: the sum tells how much of a cell lies on the sheet.
            total[cell] += np.float32(share)
    return first, count, weight, total


@compiled
def _resampled(plane: Floats, down: Taps, across: Taps) -> Floats:
    """What each cell sees of a `(height, width)` plane: `(cell, cell)`."""
    above, rows, by_row, _ = down
    left, columns, by_column, _ = across
    # Down first, into one line of pixels that all cells of a row share; then across.
    strip = np.empty(plane.shape[1], np.float32)
    seen = np.empty((len(rows), len(columns)), np.float32)
    for i in range(len(rows)):
        strip[:] = 0
        for row in range(rows[i]):
            # Along a line of pixels, which lie side by side.
            share, pixels = by_row[i, row], plane[above[i] + row]
            for x in range(len(strip)):
                strip[x] += share * pixels[x]
        for j in range(len(columns)):
            found = np.float32(0)
            for column in range(columns[j]):
                found += by_column[j, column] * strip[left[j] + column]
            seen[i, j] = found
    return seen


@compiled
def _frame(down: Floats, across: Floats) -> Floats:
    """The share of each cell that lies on the sheet: `(cell, cell)`."""
    frame = np.empty((len(down), len(across)), np.float32)
    for y in range(len(down)):
        for x in range(len(across)):
            # Outside the sheet weights are missing on either axis: their product counts both.
            frame[y, x] = down[y] * across[x]
    return frame


@compiled
def _ground(light: Floats, solid: Floats, frame: Floats) -> float:
    """The luminance, 0 or 1, of what is seen through the sheet."""
    shown, covered, whole = 0.0, 0.0, 0.0
    for y in range(len(light)):
        for x in range(len(light)):
            shown += light[y, x]
            covered += solid[y, x]
            whole += frame[y, x]
    # The mean luminance of what is drawn, opaque or not.
    tone = shown / max(covered, TINY)
    # Where most is transparent, what is opaque is the ink, and the ground its contrary.
    if 1 - covered / whole > 0.5:
        tone = 1 - tone
    return 1.0 if tone >= 0.5 else 0.0


@compiled
def _composite(seen: Floats, solid: Floats, frame: Floats, ground: float) -> None:
    """Lay premultiplied luminance on the ground, in place."""
    for y in range(len(seen)):
        for x in range(len(seen)):
            # Divided by the frame, a cell at the edge has the luminance of its part on the sheet.
            behind = np.float32(ground) * (frame[y, x] - solid[y, x])
            seen[y, x] = (seen[y, x] + behind) / max(frame[y, x], np.float32(TINY))


@compiled
def _range(seen: Floats, frame: Floats) -> tuple[float, float, float]:
    """The least, the greatest and the mean luminance on the sheet."""
    low, high, total, inside = np.float32(1), np.float32(0), 0.0, 0.0
    for y in range(len(seen)):
        for x in range(len(seen)):
            # Cells beyond the sheet have no luminance of their own. Chosen values in place of
            # branches, so that many cells are looked at at once.
            on_sheet = frame[y, x] >= np.float32(ON_SHEET)
            dark = seen[y, x] if on_sheet else np.float32(1)
            light = seen[y, x] if on_sheet else np.float32(0)
            low, high = min(low, dark), max(high, light)
            total += float(light)
            inside += 1.0 if on_sheet else 0.0
    return float(low), float(high), total / inside


@compiled
def _tones(low: float, high: float, mean: float) -> tuple[float, float]:
    """The paper's luminance, and by what the difference to it becomes ink of 0 to about 1."""
    contrast = max(high - low, MIN_CONTRAST)
    # Ink is what covers less: the paper is at the end of the range that the mean is nearer to.
    if mean < (low + high) / 2 - EVEN:
        return low, 1 / contrast
    return high, -1 / contrast


@compiled
def _to_ink(seen: Floats, frame: Floats, tones: tuple[float, float]) -> None:
    """Turn luminance into ink, in place."""
    paper, gain = tones
    for y in range(len(seen)):
        for x in range(len(seen)):
            # Weighted by the frame, since beyond the sheet nothing is drawn.
            ink = (seen[y, x] - np.float32(paper)) * np.float32(gain) * frame[y, x]
            seen[y, x] = max(ink, np.float32(0))


@compiled
def _unmeasured() -> Measured:
    """What stands for paper that was not measured."""
    none = np.empty((0, 0), np.float32)
    return 0.0, none, none, 0.0


@compiled
def _to_ink_in_light(
    seen: Floats,
    frame: Floats,
    tones: tuple[float, float],
    lit: Measured,
    window: tuple[float, float, float],
) -> None:
    """Turn luminance into ink, in place, measured against the paper around where light is uneven.

    ``window`` is where its middle lies, down and across, and its side, in the cells of ``lit``.
    """
    share, whole_level, whole_table, local_gain = lit
    paper, gain = tones
    down = _taps(window[0], window[2], len(seen), len(whole_level))
    across = _taps(window[1], window[2], len(seen), len(whole_level))
    level, table = _resampled(whole_level, down, across), _resampled(whole_table, down, across)
    for y in range(len(seen)):
        for x in range(len(seen)):
            alike = (seen[y, x] - np.float32(paper)) * np.float32(gain) * frame[y, x]
            alike = max(alike, np.float32(0))
            # Beyond the grid goes on what lies at its edge.
            within = max(down[3][y], np.float32(TINY)) * max(across[3][x], np.float32(TINY))
            against = seen[y, x] / max(level[y, x] / within, np.float32(TINY))
            darkening = np.float32(1 - GRAIN) - against
            local = max(darkening * np.float32(local_gain) * frame[y, x], np.float32(0))
            local *= 1 - table[y, x] / within
            seen[y, x] = alike + np.float32(share) * (local - alike)


@compiled
def _moments(ink: Floats) -> tuple[float, float, float, float]:
    """How much ink there is, its centre of mass down and across, and its standard deviation.

    In shares of the window; the deviation along the longer axis.
    """
    cells = len(ink)
    by_row, by_column = np.zeros(cells, np.float32), np.zeros(cells, np.float32)
    total, middle_down, middle_across = 0.0, 0.0, 0.0
    for y in range(cells):
        for x in range(cells):
            # Faint grey, as from a scan or a shadow, has no say in where the drawing is.
            weight = max(ink[y, x] - np.float32(INK_THRESHOLD), np.float32(0))
            by_row[y] += weight
            by_column[x] += weight
    for cell in range(cells):
        offset = (cell + 0.5) / cells - 0.5
        total += by_row[cell]
        middle_down += by_row[cell] * offset
        middle_across += by_column[cell] * offset
    # Sums by row and column are enough: moments of each axis need no more.
    divisor = max(total, TINY)
    middle_down /= divisor
    middle_across /= divisor
    tall, wide = 0.0, 0.0
    for cell in range(cells):
        offset = (cell + 0.5) / cells - 0.5
        tall += by_row[cell] * (offset - middle_down) ** 2
        wide += by_column[cell] * (offset - middle_across) ** 2
    return total, middle_down, middle_across, math.sqrt(max(tall, wide) / divisor)


@compiled
def _standardise(ink: Floats, mean: float, std: float, out: Floats) -> None:
    """Stretch ink to reach 1, and take off the training images' mean and deviation."""
    # Thin strokes are grey once reduced; stretched, they are as dark as thick ones.
    darkest = np.float32(FAINTEST)
    for y in range(len(ink)):
        for x in range(len(ink)):
            darkest = max(darkest, ink[y, x])
    for y in range(len(ink)):
        for x in range(len(ink)):
            out[y, x] = (ink[y, x] / darkest - mean) / std
