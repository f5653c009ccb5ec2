"""What a decoded image looks like from afar, by which copies of it are found.

A fingerprint is of the whole image, whatever a preprocessing makes of it: two drawings of one
character that a preprocessing centres alike stand elsewhere on their sheets.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

CELLS = 24
"""Cells a side of the grid that an image is stretched to."""
LENGTH = (CELLS - 2) ** 2
FAINTEST = 2.0
"""Levels of 255 by which neighbouring cells differ in what counts as a structure, not as noise."""
FINENESS = 32
GROUND = (128, 128, 128, 255)
"""What transparent pixels lie on: dark and light ink contrast with it alike."""


def fingerprints(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """`(image, LENGTH)` int8 of `(height, width, 4)` uint8 RGBA images of any sizes.

    They tell of each cell but those at the edge how it differs from the cells around it, against
    how much these differ in all: neither light nor contrast has a say, and no strong edge more
    than a faint one. An image that shows nothing has zeros.
    """
    cells = torch.stack([_cells(image) for image in images]).unsqueeze(1)
    detail = cells[..., 1:-1, 1:-1] - functional.avg_pool2d(cells, 3, 1)
    around = functional.avg_pool2d(detail.square(), 3, 1, padding=1, count_include_pad=False)
    relative = detail / (around + FAINTEST**2).sqrt()
    return (FINENESS * relative).round().clamp(-127, 127).to(torch.int8).flatten(1)


def _cells(rgba: torch.Tensor) -> torch.Tensor:
    """`(CELLS, CELLS)` float32 mean grey levels."""
    pixels = rgba.contiguous().numpy()
    height, width, _ = pixels.shape
    # Reads the pixels where they lie.
    image = Image.frombuffer("RGBA", (width, height), pixels, "raw", "RGBA", 0, 1)
    if pixels[..., 3].min() < 255:
        image = Image.alpha_composite(Image.new("RGBA", image.size, GROUND), image)
    grey = torch.from_numpy(np.array(image.convert("L"), np.float32))
    return _resampling(height) @ grey @ _resampling(width).T


@functools.lru_cache(64)
def _resampling(length: int) -> torch.Tensor:
    """`(CELLS, length)`: a triangle filter as wide as the reduction."""
    step = length / CELLS
    middle = (torch.arange(CELLS).unsqueeze(1) + 0.5) * step
    distance = (torch.arange(length) + 0.5 - middle).abs()
    weights = (1 - distance / max(step, 1.0)).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)
