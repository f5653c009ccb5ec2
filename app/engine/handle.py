"""An initialization that is served: the one value by which calls, queue and engine know it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..images.preprocessing import Preprocessing
from ..meta.scores import Scoring
from .executor import Executor


@dataclass(frozen=True, eq=False)
class Handle:
    """A loaded checkpoint and what computes with it; ``views`` lie on the executor's device."""

    checkpoint: Checkpoint
    executor: Executor
    scoring: Scoring
    views: torch.Tensor
    query_views: torch.Tensor

    @property
    def name(self) -> str:
        """The name that calls choose it by."""
        return self.checkpoint.name

    @property
    def identity(self) -> str:
        """The identity that its sessions remember."""
        return self.checkpoint.identity

    @property
    def preprocessing(self) -> Preprocessing:
        """How decoded images become its network's input."""
        return self.checkpoint.preprocessing

    def unlikeness(self, statistics: torch.Tensor) -> float | None:
        """How unlike its training images others are, above 1 beyond its limit; None if unknown.

        ``statistics`` are `(image, statistic)`, those of `Prepared`.
        """
        calibration = self.checkpoint.config.calibration
        if calibration is None:
            return None
        return calibration.likeness.unlikeness(statistics) / calibration.likeness.threshold

    @property
    def steps(self) -> int:
        """The steps of its inner loop, unless a call asks for another number."""
        return self.checkpoint.initialization.inner_loop.steps
