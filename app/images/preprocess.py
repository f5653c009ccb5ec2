"""Decoded images of any sizes to a network's input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .drawing import Drawing
from .drawing_kernel import contrasts, draw

BLANK = 0.6
"""Ink, from lightest to darkest, below which a preprocessed image is noise of the paper."""


def preprocess(drawing: Drawing, images: Sequence[torch.Tensor]) -> torch.Tensor:
    """`Drawing` of `(height, width, 4)` uint8 images, each by itself: `(image, 1, size, size)`."""
    size = drawing.size
    found = np.empty((len(images), 1, size, size), np.float32)
    for image, out in zip(images, found, strict=True):
        draw(image.numpy(), size, drawing.extent, drawing.mean, drawing.std, out[0])
    return torch.from_numpy(found)


def are_blank(drawing: Drawing, images: torch.Tensor) -> list[bool]:
    """Which of preprocessed `(image, 1, size, size)` images have no ink worth the name."""
    found: list[bool] = (contrasts(images.flatten(1).numpy()) * drawing.std < BLANK).tolist()
    return found
