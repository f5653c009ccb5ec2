"""Choosing what computes: by network, initialization and device, once, when a server starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from ..meta.inner_loop import Initialization
from ..meta.network import Network
from .blocks import Blocks
from .crew import Crew
from .executor import Definition, Executor
from .stacked import Stacked

if TYPE_CHECKING:
    from ..networks.conv4 import Conv4


def executor_of(
    network: Network, initialization: Initialization, device: torch.device, crew: Crew
) -> Executor:
    """The fastest executor that serves an initialization, which is on ``device`` already."""
    if device.type != "cpu":
        return Stacked(network, initialization)
    if Blocks.serves(network, initialization):
        return Blocks(cast("Conv4", network), initialization, crew)
    return Definition(network, initialization)
