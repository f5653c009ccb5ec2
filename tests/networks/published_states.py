"""State dicts as publishers name them, of drawn numbers: nothing is fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torchvision
from inkling.networks.convolution import NormalisedConvolution
from inkling.networks.efficientnet_lite import EfficientNetLite
from torch import nn

State = Mapping[str, torch.Tensor]


def efficientnet_lite(network: EfficientNetLite, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict as the packages of EfficientNet-Lite have it."""
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


def torchvision_model(name: str, epsilon: float | None = None) -> nn.Module:
    """A model of torchvision's with drawn weights, norms and statistics, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: nn.Module = torchvision.models.get_model(name, weights=None)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
                nn.init.normal_(module.running_mean, std=0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                module.eps = module.eps if epsilon is None else epsilon
            elif isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.normal_(module.bias)
    return model.eval()


STAGES = {"mobilenet_v3_large": (1, 2, 3, 4, 2, 3), "mobilenet_v3_small": (1, 2, 3, 2, 3)}
"""Blocks of each of timm's stages."""
EXPANDING = ("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")
PLAIN = ("conv_dw", "bn1"), ("conv_pw", "bn2")
"""What timm calls the convolutions and norms of a block that expands, and of one that does not."""


def in_timms_names(name: str, state: State) -> dict[str, torch.Tensor]:
    """A state dict of torchvision's MobileNetV3 as timm would have it, which has other modules."""
    blocks = [f"blocks.{s}.{b}" for s, size in enumerate(STAGES[name]) for b in range(size)]
    last = f"blocks.{len(STAGES[name])}.0"
    modules = {
        "features.0.0": "conv_stem",
        "features.0.1": "bn1",
        f"features.{len(blocks) + 1}.0": f"{last}.conv",
        f"features.{len(blocks) + 1}.1": f"{last}.bn1",
        "classifier.0": "conv_head",
        "classifier.3": "classifier",
    }
    own = list(dict.fromkeys(key.rpartition(".")[0] for key in state))
    for number, block in enumerate(blocks, start=1):
        inside = [key for key in own if key.startswith(f"features.{number}.block.")]
        excites = [key for key in inside if re.search(r"fc\d$", key)]
        modules |= dict(zip(excites, (f"{block}.se.conv_reduce", f"{block}.se.conv_expand")))  # noqa: B905
        plain = [key for key in inside if key not in excites]
        called = EXPANDING if len(plain) == 6 else PLAIN
        names = [f"{block}.{each}" for pair in called for each in pair]
        modules |= dict(zip(plain, names, strict=True))
    return {
        f"{modules[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": tensor
        for key, tensor in state.items()
    }
