"""What a decoded image looks like from afar, by which copies of it are found.

A fingerprint is of the whole image, whatever a preprocessing makes of it: two drawings of one
character that a preprocessing centres alike stand elsewhere on their sheets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..kernels.fingerprint import LENGTH, compare_fingerprints, take_fingerprint


def fingerprints(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """`(image, LENGTH)` int8 of `(height, width, 4)` uint8 RGBA images of any sizes, one a byte.

    They tell of each cell of a coarse grid, but those at the edge, how it differs from the cells
    around it, against how much these differ in all: neither light nor contrast has a say, and no
    strong edge more than a faint one. An image that shows nothing has zeros.
    """
    found = np.empty((len(images), LENGTH), np.int8)
    for image, out in zip(images, found, strict=True):
        take_fingerprint(image.contiguous().numpy().view(np.uint32)[..., 0], out)
    return torch.from_numpy(found)


def unknown(count: int) -> torch.Tensor:
    """`(count, LENGTH)`: fingerprints that tell nothing."""
    return torch.zeros(count, LENGTH, dtype=torch.int8)


def alike(taken: torch.Tensor) -> NDArray[np.bool_]:
    """`(image, image)`: whether fingerprints are of one picture.

    One that tells nothing is like none, itself included.
    """
    same = np.empty((len(taken), len(taken)), np.bool_)
    compare_fingerprints(taken.contiguous().numpy(), same)
    return same
