"""The metric behind a backbone: how pooled maps become features.

The means of the last maps count as they are, brought to unit length: they are what pre-training
made to tell its own classes apart. Signed square roots tame the long tails of what is pooled of
the maps before; a linear metric, learned across domains, brings it to unit length in its own space,
and a share says how much it counts. `training.metric` fits it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch.nn import functional

from ..meta.network import Network
from ..meta.params import Params

CENTRE, WEIGHT, SHARE = "metric.centre", "metric.weight", "metric.share"
"""`(before,)`, `(before, before)` and `()`."""
TINY = 1e-6
"""Keeps the slopes of roots finite."""


@dataclass(frozen=True)
class Metric:
    """A metric of pooled rows: ``last`` means of the last maps, then ``before`` of those before."""

    last: int
    before: int

    @property
    def size(self) -> int:
        """Length of a pooled row, and of a feature vector."""
        return self.last + self.before

    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset({CENTRE, WEIGHT, SHARE})

    def initialize(self) -> Params:
        """A metric that changes nothing."""
        size = self.before
        return {CENTRE: torch.zeros(size), WEIGHT: torch.eye(size), SHARE: torch.ones(())}

    def rooted(self, pooled: torch.Tensor) -> torch.Tensor:
        """`(batch, before)` signed roots, from `(batch, size)` pooled maps."""
        return _signed_root(pooled[:, self.last :])

    def __call__(self, params: Params, pooled: torch.Tensor) -> torch.Tensor:
        """`(batch, size)` pooled maps to `(batch, size)` features."""
        before = (self.rooted(pooled) - params[CENTRE]) @ params[WEIGHT]
        return torch.cat(
            [
                functional.normalize(pooled[:, : self.last], dim=1),
                params[SHARE] * functional.normalize(before, dim=1),
            ],
            1,
        )


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
