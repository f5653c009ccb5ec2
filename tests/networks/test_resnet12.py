from __future__ import annotations

import pytest
import torch
from inkling.networks.resnet12 import LEAK, ResNet12, drop_block
from torch import nn

from .parameters import drawn


class Block(nn.Module):
    """A residual block of torch's own modules, in the order of the literature."""

    def __init__(self, params: dict[str, torch.Tensor], name: str, inputs: int, width: int) -> None:
        super().__init__()
        parts = ("convolution1", "convolution2", "convolution3", "shortcut")
        self.parts = nn.ModuleList()
        for part in parts:
            prefix = f"{name}.{part}"
            size = 1 if part == "shortcut" else 3
            entering = width if part in parts[1:3] else inputs
            convolution = nn.Conv2d(entering, width, size, padding=size // 2, bias=False)
            convolution.weight = nn.Parameter(params[f"{prefix}.weight"])
            norm = nn.BatchNorm2d(width)
            norm.weight = nn.Parameter(params[f"{prefix}.gain"])
            norm.bias = nn.Parameter(params[f"{prefix}.bias"])
            norm.running_mean = params[f"{prefix}.mean"]
            norm.running_var = params[f"{prefix}.variance"]
            self.parts.append(nn.Sequential(convolution, norm))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first, second, third, beside = self.parts
        leaky = nn.LeakyReLU(LEAK)
        summed = third(leaky(second(leaky(first(images))))) + beside(images)
        pooled: torch.Tensor = nn.functional.max_pool2d(leaky(summed), 2)
        return pooled


@pytest.mark.parametrize("channels", [64, 6])
def test_features_are_those_of_torch_modules(channels: int) -> None:
    network = ResNet12(image_channels=1, image_size=28, channels=channels)
    params = drawn(network)
    widths = network.widths
    blocks = [
        Block(params, f"block{number}", entering, width)
        for number, (entering, width) in enumerate(
            zip((1, *widths[:-1]), widths, strict=True), start=1
        )
    ]
    reference = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = torch.randn((3, *network.input_shape), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected = network.features(params, images), reference(images)
    assert found.shape == (3, network.feature_size) == (3, 10 * channels)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("channels", [0, 33])
def test_filters_are_an_even_number(channels: int) -> None:
    with pytest.raises(ValueError, match=f"an even number from 2 on, got {channels}"):
        ResNet12(channels=channels)


def test_every_statistic_moves_in_pretraining() -> None:
    network = ResNet12(image_channels=3, image_size=32)
    params = network.initialize(torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn((4, *network.input_shape), generator=generator)
    features, moved = network.features_in_pretraining(params, images, generator)
    assert features.shape == (4, 640)
    assert moved.keys() == network.fixed()
    assert all(not torch.equal(moved[name], params[name]) for name in moved)


def test_drop_block_zeroes_whole_squares_at_about_its_rate() -> None:
    hidden = torch.ones(64, 32, 14, 14)
    dropped = drop_block(hidden, 0.1, 5, torch.Generator().manual_seed(0))
    zeroed = dropped == 0
    assert 0.07 < float(zeroed.float().mean()) < 0.12
    assert abs(float(dropped.mean()) - 1) < 1e-3
    # Every zero lies in a 5x5 square of zeros.
    squares = 1 - nn.functional.max_pool2d((~zeroed).float(), 5, stride=1)
    covered = nn.functional.max_pool2d(nn.functional.pad(squares, [4] * 4), 5, stride=1)
    assert torch.equal(covered > 0, zeroed)


def test_drop_block_fits_small_maps_and_can_be_off() -> None:
    generator = torch.Generator().manual_seed(0)
    small = drop_block(torch.ones(1000, 1, 1, 1), 0.1, 5, generator)
    assert 0.05 < float((small == 0).float().mean()) < 0.15
    hidden = torch.ones(2, 2, 4, 4)
    assert drop_block(hidden, 0.0, 5, generator) is hidden
