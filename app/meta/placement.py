"""Moving an initialization to the device that computes with it."""

from __future__ import annotations

from dataclasses import replace

import torch

from .inner_loop import Initialization
from .params import mapped


def placed(initialization: Initialization, device: torch.device) -> Initialization:
    """The same initialization with its tensors on ``device``."""
    return replace(
        initialization,
        params=mapped(lambda tensor: tensor.to(device), initialization.params),
        step_sizes=mapped(lambda tensor: tensor.to(device), initialization.step_sizes),
        views=initialization.views.to(device),
    )
