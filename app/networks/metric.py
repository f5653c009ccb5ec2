"""The metric behind a backbone: how pooled maps become features.

Signed square roots tame the long tails of pooled maps. A linear metric, learned across domains,
brings each group of them to unit length in its own space, and a share says how much it counts.
`training.metric` fits it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch.nn import functional

from ..meta.network import Network
from ..meta.params import Params

TINY = 1e-6
"""Keeps the slopes of roots finite."""


@dataclass(frozen=True)
class Metric:
    """A metric of each of the ``groups``: how many numbers of a pooled row each one takes, in turn.

    The tensors of a group are called by its name with `.centre` `(size,)`, `.weight`
    `(size, size)` and `.share`, a scalar.
    """

    groups: Mapping[str, int]

    @property
    def size(self) -> int:
        """Length of a pooled row, and of a feature vector."""
        return sum(self.groups.values())

    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        kinds = ("centre", "weight", "share")
        return frozenset(f"{name}.{kind}" for name in self.groups for kind in kinds)

    def initialize(self) -> Params:
        """A metric that changes nothing."""
        params: dict[str, torch.Tensor] = {}
        for name, size in self.groups.items():
            params[f"{name}.centre"] = torch.zeros(size)
            params[f"{name}.weight"] = torch.eye(size)
            params[f"{name}.share"] = torch.ones(())
        return params

    def rooted(self, pooled: torch.Tensor) -> dict[str, torch.Tensor]:
        """`(batch, size)` signed roots of each group, from `(batch, size)` pooled maps."""
        split = torch.split(_signed_root(pooled), list(self.groups.values()), 1)
        return dict(zip(self.groups, split, strict=True))

    def __call__(self, params: Params, pooled: torch.Tensor) -> torch.Tensor:
        """`(batch, size)` pooled maps to `(batch, size)` features."""
        features = [
            params[f"{name}.share"]
            * functional.normalize(
                (values - params[f"{name}.centre"]) @ params[f"{name}.weight"], dim=1
            )
            for name, values in self.rooted(pooled).items()
        ]
        return torch.cat(features, 1)


@runtime_checkable
class HasMetric(Network, Protocol):
    """A network whose last part is a metric: the parts before it end in pooled maps."""

    @property
    def metric(self) -> Metric:
        """What makes features of pooled maps."""
        ...


def means_and_deviations(maps: torch.Tensor) -> torch.Tensor:
    """`(batch, channel, height, width)` to `(batch, 2 * channel)`."""
    variance = maps.var((2, 3), correction=0)
    return torch.cat([maps.mean((2, 3)), (variance + TINY).sqrt()], 1)


def _signed_root(values: torch.Tensor) -> torch.Tensor:
    return values.sign() * ((values.abs() + TINY).sqrt() - math.sqrt(TINY))
