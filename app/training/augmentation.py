"""Random affine changes of preprocessed images."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from ..meta.views import affine_matrices
from .recipes import Jitter


def jittered(
    images: torch.Tensor, jitter: Jitter, background: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Turn, scale, shear and shift each of `(batch, channel, height, width)` by its own draw.

    What moves in from outside is ``background`` `(channel, 1, 1)`. Draws are made on the CPU,
    wherever images are.
    """

    def draw(widest: float) -> torch.Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * widest

    angle = draw(math.radians(jitter.degrees))
    scale, aspect = 1 + draw(jitter.scale), 1 + draw(jitter.aspect)
    shear, across, down = draw(jitter.shear), draw(jitter.shift), draw(jitter.shift)
    matrices = affine_matrices(angle, scale, aspect, shear, across, down).to(images.device)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    background = background.to(images)
    return functional.grid_sample(images - background, grid, align_corners=False) + background
