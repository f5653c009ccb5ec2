"""Every network of the table can be exported, and computes what its definition does."""

from __future__ import annotations

import warnings

import pytest
import torch
from inkling.export.program import Parts
from inkling.export.trace import check, traced
from inkling.images.photograph import Photograph
from inkling.meta.head import BIAS, SCALE, WEIGHT
from inkling.meta.inner_loop import Initialization, InnerLoop
from inkling.meta.network import Network
from inkling.meta.scores import Scoring
from inkling.networks.catalogue import NETWORKS, name_of
from inkling.networks.conv4 import Conv4
from inkling.networks.efficientnet_lite import EfficientNetLite
from inkling.networks.lstm import Lstm
from inkling.networks.mobilenet_v3 import MobileNetV3
from inkling.networks.resnet import ResNet
from inkling.networks.resnet12 import ResNet12

SMALL: list[Network] = [
    Conv4(channels=4, image_channels=3, image_size=16),
    Conv4(channels=8, image_channels=3, image_size=16, norm="group"),
    ResNet12(image_size=16, channels=4),
    Lstm(hidden_size=8, layers=2, image_channels=3, image_size=8),
    EfficientNetLite(image_size=32),
    ResNet(18, image_size=32),
    MobileNetV3("small", image_size=32),
]


def parts(
    network: Network, *, has_views: bool, limit: float | None = 0.5, adapts: int = 1
) -> Parts:
    """A prediction by random weights, of which those of the last parts adapt."""
    params = {
        **network.initialize(torch.Generator().manual_seed(0)),
        SCALE: torch.tensor(10.0),
    }
    adapted = {name for part in network.parts[len(network.parts) - adapts :] for name in part}
    return Parts(
        network,
        Photograph(network.input_shape[1]),
        Initialization(
            params,
            {name: torch.ones(1) for name in {WEIGHT, BIAS, *(adapted - network.fixed())}},
            InnerLoop(1, query_views=has_views, half_features=not adapts),
        ),
        Scoring(10.0, 0.7, limit),
        has_views,
    )


def exports(made: Parts) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        graph = traced(made)
    check(made, graph)
    return graph


@pytest.mark.parametrize("network", SMALL, ids=lambda network: str(network)[:30])
def test_a_network_predicts_in_onnx_as_it_does_here(network: Network) -> None:
    exports(parts(network, has_views=False))


def test_the_networks_tried_are_all_of_the_table() -> None:
    assert {name_of(network) for network in SMALL} == NETWORKS.keys()


def test_without_a_calibration_there_are_probabilities_alone() -> None:
    exports(parts(SMALL[0], has_views=True, limit=None, adapts=0))


def test_a_graph_that_computes_something_else_is_refused() -> None:
    graph = exports(parts(SMALL[0], has_views=False))
    other = parts(SMALL[0], has_views=False, limit=0.3)
    with pytest.raises(RuntimeError, match="none_of_these of the graph is"):
        check(other, graph)
