"""Parameters for networks under test."""

from __future__ import annotations

import torch
from inkling.meta.network import Network


def drawn(network: Network) -> dict[str, torch.Tensor]:
    """Fresh parameters whose norms and statistics are not the identity."""
    generator = torch.Generator().manual_seed(0)
    params = dict(network.initialize(generator))
    for name, tensor in params.items():
        if not name.endswith("weight"):
            params[name] = tensor + 0.3 * torch.rand(tensor.shape, generator=generator)
    return params
