"""Random affine changes of preprocessed images."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from ..meta.views import affine
from .recipes import Jitter


def jittered(
    images: torch.Tensor, jitter: Jitter, background: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Turn, scale, shear and shift each of `(batch, channel, height, width)` by its own draw.

    What moves in from outside is ``background`` `(channel, 1, 1)`. Draws are made on the CPU,
    wherever images are.
    """
    degrees, *shares = jitter.widest()
    widest = torch.tensor([math.radians(degrees), *shares])
    changes = (torch.rand((6, len(images)), generator=generator).T * 2 - 1) * widest
    matrices = affine(changes).to(images.device)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    background = background.to(images)
    return functional.grid_sample(images - background, grid, align_corners=False) + background
