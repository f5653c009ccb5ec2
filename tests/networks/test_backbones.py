"""What holds of every backbone, whatever its trunk."""

from __future__ import annotations

import pytest
import torch
from inkling.networks.backbone import Backbone
from inkling.networks.efficientnet_lite import EfficientNetLite
from inkling.networks.mobilenet_v3 import MobileNetV3
from inkling.networks.mobilenet_v3 import Variant as MobileVariant
from inkling.networks.resnet import Depth, ResNet

from .parameters import drawn

BACKBONES: list[Backbone] = [
    EfficientNetLite(image_size=64),
    ResNet(18, image_size=64),
    ResNet(50, image_size=64),
    MobileNetV3("large", image_size=64),
    MobileNetV3("small", image_size=64),
]
each_backbone = pytest.mark.parametrize("network", BACKBONES, ids=str)


def drawn_images(count: int) -> torch.Tensor:
    return torch.randn((count, 3, 64, 64), generator=torch.Generator().manual_seed(1))


@each_backbone
@torch.no_grad()
def test_parts_in_a_row_are_the_whole_and_no_image_sees_another(network: Backbone) -> None:
    params, images = drawn(network), drawn_images(3)
    whole = network.features(params, images)
    assert whole.shape == (3, network.feature_size)
    hidden = images
    for part in range(len(network.parts)):
        hidden = network.through(params, hidden, part, part + 1)
    torch.testing.assert_close(hidden, whole)
    torch.testing.assert_close(network.features(params, images[1:2]), whole[1:2])
    assert frozenset().union(*network.parts) == params.keys()
    assert sum(map(len, network.parts)) == len(params)


@each_backbone
def test_gradients_reach_the_last_parts_and_stay_finite_on_blank_images(network: Backbone) -> None:
    params = {name: tensor.requires_grad_() for name, tensor in drawn(network).items()}
    features = network.features(params, torch.zeros(1, 3, 64, 64))
    names = sorted(network.parts[-1] | network.parts[-2] - network.fixed())
    for gradient in torch.autograd.grad(features.square().sum(), [params[n] for n in names]):
        assert bool(torch.isfinite(gradient).all())


@each_backbone
def test_pretraining_moves_the_stored_statistics(network: Backbone) -> None:
    _, updated = network.features_in_pretraining(drawn(network), drawn_images(4), torch.Generator())
    assert updated.keys() == network.fixed()


@pytest.mark.parametrize(
    ("network", "learned"),
    [
        (ResNet(18), 11_689_512 - 513_000),
        (ResNet(50), 25_557_032 - 2_049_000),
        (MobileNetV3("large"), 5_483_032 - 961 * 1280 - 1281 * 1000),
        (MobileNetV3("small"), 2_542_856 - 577 * 1024 - 1025 * 1000),
    ],
    ids=str,
)
def test_trunks_have_the_published_numbers_of_weights_less_the_classifier(
    network: Backbone, learned: int
) -> None:
    params = network.initialize(torch.Generator())
    kept = params.keys() - network.fixed() - network.parts[-1]
    assert sum(params[name].numel() for name in kept) == learned


@pytest.mark.parametrize(("depth", "size"), [(34, 224), (18, 31)])
def test_options_that_a_resnet_does_not_have_are_refused(depth: Depth, size: int) -> None:
    with pytest.raises(ValueError, match=r"expected .* got"):
        ResNet(depth, size)


@pytest.mark.parametrize(("variant", "size"), [("medium", 224), ("small", 31)])
def test_options_that_a_mobilenet_does_not_have_are_refused(
    variant: MobileVariant, size: int
) -> None:
    with pytest.raises(ValueError, match=r"expected .* got"):
        MobileNetV3(variant, size)
