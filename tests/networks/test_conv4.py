from __future__ import annotations

import pytest
import torch
from inkling.networks.conv4 import Conv4
from torch import nn

from .parameters import drawn


def as_in_the_literature(network: Conv4, params: dict[str, torch.Tensor]) -> nn.Sequential:
    """Convolution, normalisation, ReLU, pooling, with torch's own modules."""
    layers: list[nn.Module] = []
    inputs = network.image_channels
    for number in range(1, 5):
        block = f"block{number}"
        convolution = nn.Conv2d(inputs, network.channels, 3, padding=1, bias=False)
        norm: nn.Module
        if network.norm == "stored":
            norm = nn.BatchNorm2d(network.channels)
            norm.running_mean = params[f"{block}.mean"]
            norm.running_var = params[f"{block}.variance"]
        else:
            norm = nn.GroupNorm(8, network.channels)
        convolution.weight = nn.Parameter(params[f"{block}.weight"])
        norm.weight = nn.Parameter(params[f"{block}.gain"])
        norm.bias = nn.Parameter(params[f"{block}.bias"])
        layers += [convolution, norm, nn.ReLU(), nn.MaxPool2d(2)]
        inputs = network.channels
    return nn.Sequential(*layers, nn.Flatten()).eval()


@pytest.mark.parametrize(
    "network",
    [
        Conv4(),
        Conv4(norm="group"),
        Conv4(channels=32, image_channels=3, image_size=84),
    ],
)
def test_features_are_those_of_the_literature_network(network: Conv4) -> None:
    params = drawn(network)
    images = torch.randn((3, *network.input_shape), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = as_in_the_literature(network, params)(images)
        found = network.features(params, images)
    assert found.shape == (3, network.feature_size)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_learned_statistics_are_those_of_torch_batch_norm() -> None:
    network = Conv4(channels=8)
    params = drawn(network)
    images = torch.randn((16, 1, 28, 28), generator=torch.Generator().manual_seed(1))
    _, moved = network.features_in_pretraining(params, images, torch.Generator())
    norm = nn.BatchNorm2d(8, momentum=0.05)
    norm.running_mean = params["block1.mean"].clone()
    norm.running_var = params["block1.variance"].clone()
    norm(nn.functional.conv2d(images, params["block1.weight"], padding=1))
    torch.testing.assert_close(moved["block1.mean"], norm.running_mean)
    torch.testing.assert_close(moved["block1.variance"], norm.running_var)
    assert moved.keys() == network.fixed()
