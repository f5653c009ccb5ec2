"""The table of architectures: the one place that names them."""

from __future__ import annotations

from collections.abc import Mapping

from ..meta.network import Network
from .conv4 import Conv4
from .efficientnet_lite import EfficientNetLite
from .lstm import Lstm
from .mobilenet_v3 import MobileNetV3
from .resnet import ResNet
from .resnet12 import ResNet12

NetworkKind = (
    type[Conv4]
    | type[ResNet12]
    | type[Lstm]
    | type[EfficientNetLite]
    | type[ResNet]
    | type[MobileNetV3]
)

NETWORKS: Mapping[str, NetworkKind] = {
    "conv4": Conv4,
    "resnet12": ResNet12,
    "lstm": Lstm,
    "efficientnet_lite": EfficientNetLite,
    "resnet": ResNet,
    "mobilenet_v3": MobileNetV3,
}


def name_of(network: Network) -> str:
    """The name that a network's architecture has in the table."""
    return next(name for name, kind in NETWORKS.items() if type(network) is kind)
