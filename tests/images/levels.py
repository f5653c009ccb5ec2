"""How far two ways to the same photograph may lie apart."""

from __future__ import annotations

import torch
from inkling.images.photograph import Photograph


def assert_same_levels(
    found: torch.Tensor, expected: torch.Tensor, preprocessing: Photograph | None = None
) -> None:
    """Every level equal, those half-way between two among them."""
    levels = (preprocessing or Photograph()).packed
    assert torch.equal(levels(found), levels(expected))
