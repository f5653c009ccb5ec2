"""How far two ways to the same photograph may lie apart."""

from __future__ import annotations

import torch
from inkling.images.photograph import Photograph


def assert_same_levels(
    found: torch.Tensor, expected: torch.Tensor, preprocessing: Photograph | None = None
) -> None:
    """Equal but for few levels that lay half-way between two, which sums in another order turn."""
    levels = (preprocessing or Photograph()).packed
    apart = (levels(found).int() - levels(expected).int()).abs()
    assert int(apart.max()) <= 1
    assert float(apart.float().mean()) < 1e-3
