"""Whether a decoded image is a drawing or a photograph, whatever is made of it afterwards.

A drawing is ink on paper: paper is plain but for its shade, ink is thin, and few tones lie between
them. A photograph has tones and texture everywhere, or its object is no stroke.
"""

from __future__ import annotations

import numpy as np
import torch

from ..kernels.strokes import measure_strokes

WEIGHTS = (43.32, -34.31, -25.46, -37.87, -15.0)
"""Of the roots of what `measure_strokes` tells: ink, half-tones, faint tones, thick ink, noise."""
BIAS = 1.58
SUREST = 6.0
"""Beyond it an image speaks no louder, however clear it is."""


def drawn(rgba: torch.Tensor) -> float:
    """The log-odds, within `SUREST`, that `(height, width, 4)` uint8 RGBA is a drawing.

    A logistic regression of Omniglot's background characters, as they are and as pens, screens and
    lamps make them look, against photographs of twelve domains in colour, in grey and cut out.
    """
    found = np.empty(len(WEIGHTS), np.float32)
    measure_strokes(rgba.contiguous().numpy(), found)
    odds = BIAS + float(np.sqrt(found.astype(np.float64)) @ np.array(WEIGHTS))
    return min(max(odds, -SUREST), SUREST)
