"""The same inner loop as others write it: plain PyTorch, learn2learn and higher.

Their models are ordinary modules; what they come to is compared with `inkling.meta` before
anything is timed.
"""

from __future__ import annotations

import copy
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import load_checkpoint
from inkling.meta.episode import Support
from inkling.networks.conv4 import Conv4
from torch import nn
from torch.nn import functional

from ..plain import PlainLearner
from .cases import DEFAULT, RATE, SCALE, STEPS, Case

Adapted = Any
"""Whatever an opponent predicts with: a module."""


class UnitHead(nn.Linear):
    """A linear layer over features of length 1, with scaled logits, that starts at zero."""

    def __init__(self, features: int, n_way: int) -> None:
        super().__init__(features, n_way)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return SCALE * super().forward(functional.normalize(features.flatten(1)))


def conv4_module(case: Case) -> nn.Module:
    """Conv4 as it is usually written, with a case's parameters, in evaluation mode."""
    network, params = case.model.network, case.model.initialization.params
    assert isinstance(network, Conv4)
    layers: list[nn.Module] = []
    for convolution in network.convolutions():
        own = {kind: params[f"{convolution.name}.{kind}"] for kind in ("weight", "gain", "bias")}
        layer = nn.Conv2d(convolution.inputs, convolution.outputs, 3, padding=1, bias=False)
        norm = nn.BatchNorm2d(convolution.outputs)
        layer.weight.data = own["weight"].clone(memory_format=torch.contiguous_format)
        norm.weight.data, norm.bias.data = own["gain"].clone(), own["bias"].clone()
        norm.running_mean = params[f"{convolution.name}.mean"].clone()
        norm.running_var = params[f"{convolution.name}.variance"].clone()
        layers += [layer, norm, nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, UnitHead(network.feature_size, case.support().n_way)).eval()


class Wrapped(nn.Module):
    """Any network of Inkling's as a module; ``frozen`` ones have their head alone to learn."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.network, initialization = case.model.network, case.model.initialization
        self.names = sorted(n for n in initialization.params if n != "head.scale")
        self.tensors = nn.ParameterList(
            nn.Parameter(initialization.params[name].clone(), name in initialization.step_sizes)
            for name in self.names
        )
        self.head = UnitHead(self.network.feature_size, case.support().n_way)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        params = dict(zip(self.names, self.tensors, strict=True))
        scores: torch.Tensor = self.head(self.network.features(params, images))
        return scores


def module_of(case: Case) -> nn.Module:
    """A case's model as a module that learns by one rate."""
    if case.model.everything and isinstance(case.model.network, Conv4):
        return conv4_module(case)
    return Wrapped(case)


class Plain:
    """copy.deepcopy and torch.optim.SGD."""

    def __init__(self, case: Case, *, channels_last: bool) -> None:
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._module = module_of(case).to(memory_format=self._format)

    def adapt(self, support: Support) -> Adapted:
        """Five steps on a copy."""
        module = copy.deepcopy(self._module)
        images = support.images.contiguous(memory_format=self._format)
        learning = [p for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(learning, lr=RATE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            functional.cross_entropy(module(images), support.labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return module

    def predict(self, adapted: Adapted, queries: torch.Tensor) -> torch.Tensor:
        """Logits of queries."""
        with torch.no_grad():
            scores: torch.Tensor = adapted(queries.contiguous(memory_format=self._format))
        return scores


class PlainDefault:
    """`plain.PlainLearner`, which spares itself all that the shipped initialization can spare."""

    def __init__(self, *, channels_last: bool) -> None:
        checkpoint = load_checkpoint(find_checkpoint("omniglot"))
        self._learner = PlainLearner(checkpoint, channels_last=channels_last)
        calibration = checkpoint.config.calibration
        self._temperature = calibration.temperature if calibration else 1.0

    def adapt(self, support: Support) -> Adapted:
        """Adapt a copy of what adapts."""
        return self._learner.adapt(support.images, support.labels, support.n_way)

    def predict(self, adapted: Adapted, queries: torch.Tensor) -> torch.Tensor:
        """Logits of queries, but for a constant in each row."""
        return self._learner.predict(adapted, queries).log() * self._temperature


class Learn2Learn:
    """`learn2learn.algorithms.MAML`, from a source tree."""

    def __init__(self, case: Case, tree: Path) -> None:
        # Its package imports much that this needs nothing of; only these modules are run.
        for name in ("learn2learn", "learn2learn.algorithms"):
            package = ModuleType(name)
            package.__path__ = [str(tree / name.replace(".", "/"))]
            sys.modules[name] = package
        maml = importlib.import_module("learn2learn.algorithms.maml")
        self._learner = maml.MAML(module_of(case), lr=RATE, first_order=True)

    def adapt(self, support: Support) -> Adapted:
        """Five calls of its `adapt` on a clone."""
        learner = self._learner.clone()
        for _ in range(STEPS):
            learner.adapt(functional.cross_entropy(learner(support.images), support.labels))
        return learner

    def predict(self, adapted: Adapted, queries: torch.Tensor) -> torch.Tensor:
        """Logits of queries."""
        with torch.no_grad():
            scores: torch.Tensor = adapted(queries)
        return scores


class Higher:
    """`higher.innerloop_ctx`, from a source tree."""

    def __init__(self, case: Case, tree: Path) -> None:
        sys.path.insert(0, str(tree))
        self._higher = importlib.import_module("higher")
        self._module = module_of(case)

    def adapt(self, support: Support) -> Adapted:
        """Five steps of its differentiable SGD."""
        learning = [p for p in self._module.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(learning, lr=RATE)
        with self._higher.innerloop_ctx(self._module, optimizer, track_higher_grads=False) as (
            functional_module,
            differentiable,
        ):
            for _ in range(STEPS):
                scores = functional_module(support.images)
                differentiable.step(functional.cross_entropy(scores, support.labels))
        return functional_module

    def predict(self, adapted: Adapted, queries: torch.Tensor) -> torch.Tensor:
        """Logits of queries."""
        with torch.no_grad():
            scores: torch.Tensor = adapted(queries)
        return scores


def plain_of(case: Case, *, channels_last: bool) -> Plain | PlainDefault:
    """Plain PyTorch for a case."""
    if case.model.name == DEFAULT:
        return PlainDefault(channels_last=channels_last)
    return Plain(case, channels_last=channels_last)
