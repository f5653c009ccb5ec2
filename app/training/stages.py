"""What the stages of a run have in common: numbered updates that a saved state can resume."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Protocol

import torch

from ..meta.inner_loop import Initialization
from ..meta.params import Params


class Stage(Protocol):
    """A part of a training run. Update ``i`` depends on the state and on ``i`` alone."""

    @property
    def name(self) -> str:
        """What this stage is called in logs."""
        ...

    @property
    def iterations(self) -> int:
        """How many updates make up the stage."""
        ...

    def update(self, iteration: int) -> Mapping[str, float]:
        """Make one update and return what it measured, ``loss`` among it."""
        ...

    def initialization(self) -> Initialization:
        """What the stage has learned so far, detached."""
        ...

    def tensors(self) -> Params:
        """All state that later updates depend on."""
        ...

    def restore(self, tensors: Params) -> None:
        """Take up the state that `tensors` gave."""
        ...


def cosine_rate(peak: float, iteration: int, iterations: int, warmup: int = 0) -> float:
    """The learning rate of an update: a linear warm-up, then half a cosine down to 0."""
    rise = min(1.0, (iteration + 1) / warmup) if warmup else 1.0
    return peak * rise * 0.5 * (1 + math.cos(math.pi * iteration / iterations))


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Params:
    """The optimizer's own state, under names made of positions."""
    return {
        f"optimizer.{position}.{key}": tensor
        for position, entries in optimizer.state_dict()["state"].items()
        for key, tensor in entries.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Params) -> None:
    """Take up the state that `optimizer_tensors` gave."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, position, key = name.split(".")
            state.setdefault(int(position), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def copy_into(targets: Mapping[str, torch.Tensor], tensors: Params, prefix: str) -> None:
    """Overwrite leaf tensors with the saved ones of the same name."""
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(tensors[prefix + name])


def set_rates(optimizer: torch.optim.Optimizer, rates: Iterable[float]) -> None:
    """Set the learning rate of each group of an optimizer."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
