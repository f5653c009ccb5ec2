"""Random affine changes of preprocessed images."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from .recipes import Jitter


def jittered(
    images: torch.Tensor, jitter: Jitter, background: float, generator: torch.Generator
) -> torch.Tensor:
    """Turn, scale, shear and shift each of `(batch, channel, height, width)` by its own draw.

    What moves in from outside is ``background``. Draws are made on the CPU, wherever images are.
    """

    def draw(widest: float) -> torch.Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * widest

    angle = draw(math.radians(jitter.degrees))
    scale, aspect = 1 + draw(jitter.scale), 1 + draw(jitter.aspect)
    shear, across, down = draw(jitter.shear), draw(jitter.shift), draw(jitter.shift)
    affine = torch.stack(
        [
            torch.stack([angle.cos() * scale * aspect, shear - angle.sin() * scale, across], 1),
            torch.stack([angle.sin() * scale, angle.cos() * scale / aspect, down], 1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(affine.to(images.device), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images - background, grid, align_corners=False)
    return moved + background
