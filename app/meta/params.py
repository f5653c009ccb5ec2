"""Named sets of tensors and the little arithmetic that meta-learning does on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

Params = Mapping[str, torch.Tensor]
"""Parameter names to tensors. Never changed in place."""


def array_of(tensor: torch.Tensor) -> NDArray[np.float32]:
    """A tensor on the CPU as kernels take it, C-contiguous; shares its memory where that can be."""
    return tensor.contiguous().numpy()


def mapped(function: Callable[[torch.Tensor], torch.Tensor], params: Params) -> Params:
    """Apply a function to every tensor."""
    return {name: function(tensor) for name, tensor in params.items()}


def prefixed(prefix: str, params: Params) -> Params:
    """The same tensors under names with a prefix."""
    return {prefix + name: tensor for name, tensor in params.items()}


def unprefixed(prefix: str, params: Params) -> dict[str, torch.Tensor]:
    """The tensors whose names have a prefix, under the names without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in params.items()
        if name.startswith(prefix)
    }


def detached(params: Params) -> Params:
    """The same values, with no graph behind them."""
    return mapped(torch.Tensor.detach, params)


def all_finite(params: Params) -> bool:
    """Tell whether every value of every tensor is finite.

    Their sums tell it: a sum with a value that is not finite is not finite either.
    """
    return bool(torch.isfinite(torch.stack([tensor.sum() for tensor in params.values()])).all())


def copied(params: Params) -> Params:
    """Copies without a graph, in torch's plain memory format."""
    return mapped(
        lambda tensor: tensor.detach().clone(memory_format=torch.contiguous_format), params
    )


def copied_channels_last(params: Params) -> Params:
    """Copies without a graph; convolution weights in the format that CPUs convolve fastest."""
    return {
        name: tensor.detach().clone(
            memory_format=torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
        )
        for name, tensor in params.items()
    }


def n_bytes(params: Params) -> int:
    """The bytes that the tensors' elements take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in params.values())
