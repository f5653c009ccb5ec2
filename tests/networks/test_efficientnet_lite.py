from __future__ import annotations

import pytest
import torch
from inkling.networks.convolution import NormalisedConvolution
from inkling.networks.efficientnet_lite import EPSILON, EfficientNetLite, Variant
from inkling.networks.published import from_published
from torch import nn

from .parameters import drawn

NETWORK = EfficientNetLite(image_size=64)


class Same(nn.Module):
    """A convolution that pads as TensorFlow does, and its norm, of torch's own modules."""

    def __init__(self, params: dict[str, torch.Tensor], own: NormalisedConvolution) -> None:
        super().__init__()
        self.own = own
        self.convolution = nn.Conv2d(
            own.inputs, own.outputs, own.size, own.stride, groups=own.groups, bias=False
        )
        self.convolution.weight = nn.Parameter(params[f"{own.name}.weight"])
        self.norm = nn.BatchNorm2d(own.outputs, eps=EPSILON)
        self.norm.weight = nn.Parameter(params[f"{own.name}.gain"])
        self.norm.bias = nn.Parameter(params[f"{own.name}.bias"])
        self.norm.running_mean = params[f"{own.name}.mean"]
        self.norm.running_var = params[f"{own.name}.variance"]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # On sides that the stride divides, kernels reach over both edges by size - stride.
        total = self.own.size - self.own.stride
        before, after = total // 2, total - total // 2
        padded = nn.functional.pad(images, (before, after, before, after))
        normalised: torch.Tensor = self.norm(self.convolution(padded))
        return normalised


def published_state(network: EfficientNetLite, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict as it is published, of drawn numbers."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {"_fc.weight": torch.zeros(1000, 1280)}

    def norm(name: str, channels: int) -> None:
        for kind in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{kind}"] = torch.rand(channels, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(1)

    def convolution(name: str, own: NormalisedConvolution) -> None:
        shape = (own.outputs, own.inputs // own.groups, own.size, own.size)
        kernel = torch.randn(shape, generator=generator)
        state[f"{name}.weight"] = kernel * (2 / kernel[0].numel()) ** 0.5

    convolution("_conv_stem", network.stem())
    norm("_bn0", network.stem().outputs)
    convolution("_conv_head", network.last())
    norm("_bn1", 1280)
    for number, block in enumerate(network.blocks()):
        prefix = f"_blocks.{number}."
        if block.expand is not None:
            convolution(f"{prefix}_expand_conv", block.expand)
            norm(f"{prefix}_bn0", block.expand.outputs)
        convolution(f"{prefix}_depthwise_conv", block.depthwise)
        norm(f"{prefix}_bn1", block.depthwise.outputs)
        convolution(f"{prefix}_project_conv", block.project)
        norm(f"{prefix}_bn2", block.project.outputs)
    return state


@torch.no_grad()
def test_features_are_those_of_torch_modules() -> None:
    params = drawn(NETWORK)
    images = torch.randn((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    hidden = nn.functional.relu6(Same(params, NETWORK.stem()).eval()(images))
    before = hidden
    for block in NETWORK.blocks():
        before = inner = hidden
        for own in block.convolutions():
            inner = Same(params, own).eval()(inner)
            if own is not block.project:
                inner = nn.functional.relu6(inner)
        hidden = inner + before if inner.shape == before.shape else inner
    top = nn.functional.relu6(Same(params, NETWORK.last()).eval()(hidden)).mean((2, 3))
    kinds = {
        "metric.last": top,
        "metric.before": torch.cat([before.mean((2, 3)), before.flatten(2).std(2, False)], 1),
    }
    expected = []
    for name, values in kinds.items():
        rooted = values.sign() * values.abs().sqrt()
        metric = (rooted - params[f"{name}.centre"]) @ params[f"{name}.weight"]
        expected.append(params[f"{name}.share"] * metric / metric.norm(dim=1, keepdim=True))
    got = NETWORK.features(params, images)
    assert got.shape == (2, NETWORK.feature_size) == (2, 1280 + 2 * 192)
    torch.testing.assert_close(got, torch.cat(expected, 1), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_parts_in_a_row_are_the_whole_and_no_image_sees_another() -> None:
    params = drawn(NETWORK)
    images = torch.randn((3, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    whole = NETWORK.features(params, images)
    hidden = images
    for part in range(len(NETWORK.parts)):
        hidden = NETWORK.through(params, hidden, part, part + 1)
    torch.testing.assert_close(hidden, whole)
    torch.testing.assert_close(NETWORK.features(params, images[1:2]), whole[1:2])
    assert frozenset().union(*NETWORK.parts) == params.keys()


@pytest.mark.parametrize(
    ("variant", "blocks", "convolved"), [(0, 16, 3_371_008), (1, 21, 4_135_680), (2, 21, 4_811_072)]
)
def test_variants_have_the_published_numbers_of_weights(
    variant: Variant, blocks: int, convolved: int
) -> None:
    network = EfficientNetLite(variant)
    params = network.initialize(torch.Generator())
    assert len(network.blocks()) == blocks
    learned = sum(
        tensor.numel()
        for name, tensor in params.items()
        if name not in network.fixed() and not name.startswith("metric")
    )
    assert learned == convolved


def test_gradients_reach_the_metric_and_stay_finite_on_blank_images() -> None:
    params = {name: tensor.requires_grad_() for name, tensor in drawn(NETWORK).items()}
    features = NETWORK.features(params, torch.zeros(1, 3, 64, 64))
    names = sorted(NETWORK.parts[-1] | NETWORK.parts[-2] - NETWORK.fixed())
    for gradient in torch.autograd.grad(features.square().sum(), [params[n] for n in names]):
        assert bool(torch.isfinite(gradient).all())


def test_pretraining_moves_the_stored_statistics() -> None:
    params = drawn(NETWORK)
    images = torch.randn((4, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    _, updated = NETWORK.features_in_pretraining(params, images, torch.Generator())
    assert updated.keys() == NETWORK.fixed()


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_published_weights_go_where_they_belong(variant: Variant) -> None:
    network = EfficientNetLite(variant)
    state = published_state(network)
    params = from_published(network, state)
    assert params.keys() == network.initialize(torch.Generator()).keys()
    assert torch.equal(params["stem.gain"], state["_bn0.weight"])
    assert torch.equal(params["block2.depthwise.weight"], state["_blocks.1._depthwise_conv.weight"])
    assert torch.equal(params["block1.depthwise.mean"], state["_blocks.0._bn1.running_mean"])
    assert torch.equal(params["last.variance"], state["_bn1.running_var"])


def test_weights_of_another_variant_are_refused() -> None:
    with pytest.raises(ValueError, match="tensors missing"):
        from_published(EfficientNetLite(1), published_state(EfficientNetLite(0)))
    with pytest.raises(ValueError, match=r"expected .* got"):
        from_published(EfficientNetLite(2), published_state(EfficientNetLite(1)))


@pytest.mark.parametrize(("variant", "size"), [(3, 224), (0, 31)])
def test_options_that_there_are_not_are_refused(variant: Variant, size: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        EfficientNetLite(variant, size)
