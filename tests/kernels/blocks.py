"""A block of Conv4 as torch has it, on arrays that are laid out as kernels take them."""

from __future__ import annotations

import numpy as np
import torch
from inkling.kernels.jit import Floats
from torch.nn import functional


def drawn(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def block(maps: torch.Tensor, weight: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """`(row, height, width, inputs)` and `(3 * 3, inputs, outputs)` to pooled maps alike."""
    inputs, outputs = weight.shape[1:]
    kernel = weight.reshape(3, 3, inputs, outputs).permute(3, 2, 0, 1)
    convolved = functional.conv2d(maps.permute(0, 3, 1, 2), kernel, shift, padding=1)
    return functional.max_pool2d(convolved, 2).relu().permute(0, 2, 3, 1)


def gradients(maps: Floats, weight: Floats, shift: Floats, d_pooled: Floats) -> tuple[Floats, ...]:
    """By autograd in float64: those of the maps, the weight and the shift."""
    leaves = [torch.from_numpy(array).double().requires_grad_() for array in (maps, weight, shift)]
    outputs, above = block(*leaves), torch.from_numpy(d_pooled).double()
    return tuple(each.float().numpy() for each in torch.autograd.grad(outputs, leaves, above))


def lines(maps: Floats) -> Floats:
    return maps.reshape(*maps.shape[:2], -1)


def close(actual: Floats, expected: Floats) -> bool:
    """Equal to float32's rounding, in units of the largest number."""
    return bool(np.abs(actual - expected).max() <= 1e-5 * max(1.0, float(np.abs(expected).max())))
