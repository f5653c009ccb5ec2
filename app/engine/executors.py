"""Choosing what computes: by network, initialization and device, once, when a server starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from ..meta.inner_loop import Initialization
from ..meta.network import Network
from .conv4_executor import Conv4Executor
from .executor import Executor
from .helper_pool import HelperPool
from .shard_executor import ShardExecutor
from .trunk_executor import TrunkExecutor
from .vmap_executor import VmapExecutor

if TYPE_CHECKING:
    from ..networks.conv4 import Conv4


def executor_of(
    network: Network, initialization: Initialization, device: torch.device, helpers: HelperPool
) -> Executor:
    """The fastest executor that serves an initialization, which is on ``device`` already."""
    if device.type != "cpu":
        return VmapExecutor(network, initialization)
    if Conv4Executor.serves(network, initialization):
        return Conv4Executor(cast("Conv4", network), initialization, helpers)
    if TrunkExecutor.serves(network, initialization):
        return TrunkExecutor(network, initialization, helpers)
    return ShardExecutor(network, initialization, helpers)
