"""Telling support sets that are unlike the training data, and what would fit them better."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..errors import DeadlineExceeded
from .reading import Reader
from .registry import Registry
from .values import LabelledImage, Warned

LOOKED_AT = 20
"""Images of a support set that other initializations are compared by."""


class Advice:
    """Compares support sets with what the loaded initializations learned from."""

    def __init__(self, loaded: Registry, reader: Reader) -> None:
        self._loaded, self._reader = loaded, reader

    def on(
        self,
        images: Sequence[LabelledImage],
        tensors: torch.Tensor,
        checkpoint: Checkpoint,
        deadline: float,
    ) -> tuple[Warned, ...]:
        """A warning where ``images``, preprocessed as ``tensors``, are unlike the training data."""
        found = _unlikeness(checkpoint, tensors)
        if found is None or found <= 1:
            return ()
        better = self._fitting_better(images, checkpoint, deadline)
        advice = "" if better is None else f"; initialization {better!r} fits them better"
        return (
            Warned(
                "unlike_training_data",
                f"these images are unlike those that {checkpoint.name!r} learned from "
                f"({found:.1f} times its limit), so expect less of it{advice}",
            ),
        )

    def _fitting_better(
        self, images: Sequence[LabelledImage], checkpoint: Checkpoint, deadline: float
    ) -> str | None:
        """The initialization whose training data some of the images are most like, if any.

        It is advice: None rather than a refusal when ``deadline`` passes.
        """
        some = images[:: math.ceil(len(images) / LOOKED_AT)]
        fitting: dict[str, float] = {}
        for name, other in self._loaded.by_name.items():
            if other is checkpoint or other.config.calibration is None:
                continue
            try:
                read = self._reader.read(some, other, (), deadline)
            except DeadlineExceeded:
                return None
            found = _unlikeness(other, read.images)
            if found is not None and found <= 1:
                fitting[name] = found
        return min(fitting, key=lambda name: fitting[name], default=None)


def _unlikeness(checkpoint: Checkpoint, tensors: torch.Tensor) -> float | None:
    """How unlike the training data a support set is, in units of the threshold."""
    calibration = checkpoint.config.calibration
    if calibration is None:
        return None
    return (
        calibration.likeness.unlikeness(checkpoint.preprocessing.statistics(tensors))
        / calibration.likeness.threshold
    )
