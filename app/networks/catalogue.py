"""The table of architectures: the one place that names them."""

from __future__ import annotations

from collections.abc import Mapping

from .conv4 import Conv4

NetworkKind = type[Conv4]

NETWORKS: Mapping[str, NetworkKind] = {"conv4": Conv4}
