"""Published weights go where they belong: the same maps as the publishers' own networks."""

from __future__ import annotations

import pytest
import torch
from inkling.errors import BadData
from inkling.networks.backbone import Backbone
from inkling.networks.efficientnet_lite import EfficientNetLite, Variant
from inkling.networks.metric import TINY
from inkling.networks.published import BACKBONES, Published, recognised
from torch import nn

from .published_states import State, efficientnet_lite, in_timms_names, torchvision_model

BEFORE = {
    "resnet18": ("layer1", "layer2", "layer3"),
    "resnet50": ("maxpool", "layer1", "layer2", "layer3"),
    "mobilenet_v3_large": tuple(f"features.{number}" for number in (6, 10, 12, 15)),
    "mobilenet_v3_small": tuple(f"features.{number}" for number in (3, 6, 8, 11)),
}
"""The modules of torchvision's whose maps are taken beside the last ones."""
MOBILE = ("mobilenet_v3_large", "mobilenet_v3_small")


def found(name: str, state: State) -> tuple[Published, dict[str, torch.Tensor]]:
    entry = recognised(BACKBONES[name](), state)
    return entry, dict(entry.params(state))


def pooled_of(name: str, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Means of the last maps, and means and deviations of those before, of torchvision's model."""
    maps: dict[str, torch.Tensor] = {}
    last = "layer4" if name.startswith("resnet") else "features"
    for module in (last, *BEFORE[name]):
        model.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, outputs, of=module: maps.update({of: outputs.clone()})
        )
    model(images)
    pooled = [maps[last].mean((2, 3))]
    for module in BEFORE[name]:
        before = maps[module].flatten(2)
        pooled += [before.mean(2), (before.var(2, correction=0) + TINY).sqrt()]
    return torch.cat(pooled, 1)


@torch.no_grad()
def check_maps(network: Backbone, params: State, name: str, model: nn.Module) -> None:
    """In double precision, so that nothing but a difference in meaning shows."""
    images = torch.randn((2, 3, 96, 160), generator=torch.Generator().manual_seed(1)).double()
    double = {key: tensor.double() for key, tensor in params.items()}
    expected = pooled_of(name, model.double(), images)
    got = network.through(double, images, 0, len(network.parts) - 1)
    assert got.shape == (2, network.feature_size)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("name", BEFORE)
def test_maps_are_those_of_torchvisions_networks(name: str) -> None:
    model = torchvision_model(name)
    entry, params = found(name, model.state_dict())
    check_maps(entry.network, params, name, model)


@pytest.mark.parametrize("name", MOBILE)
def test_timms_names_are_taken_with_timms_epsilon(name: str) -> None:
    model = torchvision_model(name, epsilon=1e-5)
    entry, params = found(name, in_timms_names(name, model.state_dict()))
    assert entry.publisher == "timm"
    check_maps(entry.network, params, name, model)


@torch.no_grad()
@pytest.mark.parametrize("name", BEFORE)
def test_single_precision_is_as_near_as_it_can_be(name: str) -> None:
    model = torchvision_model(name)
    entry, params = found(name, model.state_dict())
    images = torch.randn((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    expected = pooled_of(name, model, images)
    got = entry.network.through(params, images, 0, len(entry.network.parts) - 1)
    assert float((got - expected).norm()) < 1e-5 * float(expected.norm())


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_weights_of_efficientnet_lite_go_where_they_belong(variant: Variant) -> None:
    network = EfficientNetLite(variant)
    state = efficientnet_lite(network)
    entry, params = found(f"efficientnet_lite{variant}", state)
    assert params.keys() == network.initialize(torch.Generator()).keys()
    assert entry.n_classes(state) == 1000
    assert torch.equal(params["stem.gain"], state["_bn0.weight"])
    assert torch.equal(params["block2.depthwise.weight"], state["_blocks.1._depthwise_conv.weight"])
    assert torch.equal(params["block1.depthwise.mean"], state["_blocks.0._bn1.running_mean"])
    assert torch.equal(params["last.variance"], state["_bn1.running_var"])


def test_weights_without_a_classifier_or_in_half_precision_do_as_well() -> None:
    state = {
        key: tensor.half()
        for key, tensor in torchvision_model("resnet18").state_dict().items()
        if not key.startswith("fc.")
    }
    entry, params = found("resnet18", state)
    assert entry.n_classes(state) == 0
    assert {tensor.dtype for tensor in params.values()} == {torch.float32}


def test_weights_of_another_backbone_are_refused_with_the_names_that_differ() -> None:
    state = torchvision_model("mobilenet_v3_small").state_dict()
    with pytest.raises(BadData, match=r"ResNet-18 .* missing \(bn1\.bias, .* and 92 more\)"):
        found("resnet18", state)
    with pytest.raises(BadData, match=r"left over \(classifier.0.bias, .* more\)"):
        found("resnet18", state)
    with pytest.raises(BadData, match=r"large as torchvision .* shape \(.*: expected .*, got .*\)"):
        found("mobilenet_v3_large", state)


def test_every_deviation_is_told() -> None:
    state = dict(torchvision_model("resnet18").state_dict())
    del state["layer1.0.bn1.running_var"]
    state["layer5.weight"] = torch.zeros(1)
    state["conv1.weight"] = torch.zeros(64, 4, 7, 7)
    state["bn1.bias"] = torch.full((64,), torch.nan)
    with pytest.raises(BadData) as refused:
        found("resnet18", state)
    assert str(refused.value) == (
        "expected the tensors of ResNet-18 as torchvision or timm names them, got a state dict "
        "with 1 missing (layer1.0.bn1.running_var); 1 left over (layer5.weight); 1 of another "
        "shape (conv1.weight: expected (64, 3, 7, 7), got (64, 4, 7, 7)); 1 with numbers that are "
        "not finite (bn1.bias)"
    )
