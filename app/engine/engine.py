"""Adaptation and prediction on the device, one session at a time ("eager" executor)."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..errors import InnerLoopDiverged
from ..meta.episode import Support
from ..meta.inner_loop import (
    HEAD,
    at_rest,
    logits,
    logits_from_rest,
    trajectory_from_rest,
)
from ..meta.params import Params, all_finite, copied_channels_last, mapped
from ..meta.placement import placed
from .device import describe_device, use_exact_arithmetic
from .workers import Workers

EXECUTOR = "eager"
QUERIES_AT_ONCE = 128


@dataclass(frozen=True)
class Adaptation:
    """What an inner loop made.

    ``adapted`` holds the tensors that differ from the initialization's, the head among them;
    ``losses`` the support loss before each step and after the last, in nats;
    ``support_predictions`` the class that each support image is taken for.
    """

    adapted: Params
    losses: tuple[float, ...]
    support_predictions: tuple[int, ...]
    support_accuracy: float
    queue_seconds: float
    compute_seconds: float


@dataclass(frozen=True)
class Classification:
    """``logits`` is `(query, n_way)` on the CPU."""

    logits: torch.Tensor
    queue_seconds: float
    compute_seconds: float


class Engine:
    """Runs the inner loop and predictions of the loaded checkpoints on one device."""

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        *,
        device: torch.device,
        workers: int,
        queue_limit: int,
    ) -> None:
        use_exact_arithmetic()
        self._device = device
        self.device_name = describe_device(self._device)
        self.executor = EXECUTOR
        # Each CPU worker computes with one thread: more of them collapse under contention.
        torch.set_num_threads(1)
        self._workers = Workers(
            workers if self._device.type == "cpu" else 1,
            queue_limit,
            on_start=lambda: torch.set_num_threads(1),
        )
        self._networks = {checkpoint.identity: checkpoint.network for checkpoint in checkpoints}
        self._initializations = {
            checkpoint.identity: placed(checkpoint.initialization, self._device)
            for checkpoint in checkpoints
        }

    def warm_up(self) -> None:
        """Adapt and predict once for every initialization, so that no caller pays for it."""
        for identity, network in self._networks.items():
            images = torch.zeros((2, *network.input_shape))
            support = Support(images, torch.tensor([0, 1]), 2)
            adaptation = self.adapt(identity, support, steps=None, deadline_seconds=math.inf)
            self.predict(identity, adaptation.adapted, images, deadline_seconds=math.inf)

    def adapt(
        self, identity: str, support: Support, *, steps: int | None, deadline_seconds: float
    ) -> Adaptation:
        """Run the inner loop of an initialization on a support set.

        Raises InnerLoopDiverged, Unavailable and DeadlineExceeded.
        """
        adaptation, waited = self._workers.run(
            "adapting", lambda: self._adapt(identity, support, steps), _bounded(deadline_seconds)
        )
        return replace(adaptation, queue_seconds=waited)

    def predict(
        self, identity: str, adapted: Params, images: torch.Tensor, *, deadline_seconds: float
    ) -> Classification:
        """Classify `(query, channel, height, width)` images with the tensors of an Adaptation.

        Raises Unavailable and DeadlineExceeded.
        """
        (found, seconds), waited = self._workers.run(
            "predicting",
            lambda: self._predict(identity, adapted, images),
            _bounded(deadline_seconds),
        )
        return Classification(found, waited, seconds)

    def at_rest(
        self, identity: str, images: torch.Tensor, *, deadline_seconds: float
    ) -> torch.Tensor:
        """`(image, 1 + view, ...)` of images: what adaptations to any of them share.

        Raises Unavailable and DeadlineExceeded.
        """
        network, initialization = self._networks[identity], self._initializations[identity]

        def rest() -> torch.Tensor:
            with torch.no_grad():
                chunks = torch.split(images, QUERIES_AT_ONCE)
                placed = (chunk.to(self._device) for chunk in chunks)
                return torch.cat([at_rest(network, initialization, chunk) for chunk in placed])

        found, _ = self._workers.run("preparing images", rest, _bounded(deadline_seconds))
        return found

    def classify_others(
        self,
        identity: str,
        resting: Support,
        others: torch.Tensor,
        *,
        steps: int | None,
        deadline_seconds: float,
    ) -> torch.Tensor:
        """Adapt to a support set and give the `(other, n_way)` logits of other images.

        Both are what `at_rest` made of images. Raises InnerLoopDiverged, Unavailable and
        DeadlineExceeded.
        """
        network, initialization = self._networks[identity], self._initializations[identity]
        placed = replace(resting, labels=resting.labels.to(self._device))

        def classify() -> torch.Tensor:
            with torch.no_grad():
                *_, last = trajectory_from_rest(network, initialization, placed, steps=steps)
                scores = logits_from_rest(network, initialization, last.fast_weights, others)
            if not bool(torch.isfinite(scores).all()):
                raise InnerLoopDiverged(last.number, float(last.loss))
            return scores.cpu()

        found, _ = self._workers.run("checking images", classify, _bounded(deadline_seconds))
        return found

    def close(self) -> None:
        """Finish what runs and stop."""
        self._workers.close()

    @torch.no_grad()
    def _adapt(self, identity: str, support: Support, steps: int | None) -> Adaptation:
        began = time.perf_counter()
        network, initialization = self._networks[identity], self._initializations[identity]
        placed = Support(
            support.images.to(self._device), support.labels.to(self._device), support.n_way
        )
        resting = replace(placed, images=at_rest(network, initialization, placed.images))
        states = list(trajectory_from_rest(network, initialization, resting, steps=steps))
        losses = torch.stack([state.loss for state in states]).tolist()
        for number, loss in enumerate(losses):
            if not math.isfinite(loss):
                raise InnerLoopDiverged(number, loss)
        # The format decides rounding: the same here and when a session is read from its store.
        adapted = copied_channels_last(
            {
                name: tensor
                for name, tensor in states[-1].fast_weights.items()
                if name in initialization.step_sizes or name in HEAD
            }
        )
        if not all_finite(adapted):
            raise InnerLoopDiverged(len(losses) - 1, math.nan)
        scores = logits_from_rest(network, initialization, states[-1].fast_weights, resting.images)
        predictions = scores.argmax(1)
        accuracy = (predictions == placed.labels).to(torch.float32).mean()
        return Adaptation(
            adapted=adapted,
            losses=tuple(losses),
            support_predictions=tuple(predictions.tolist()),
            support_accuracy=float(accuracy),
            queue_seconds=0.0,
            compute_seconds=time.perf_counter() - began,
        )

    @torch.no_grad()
    def _predict(
        self, identity: str, adapted: Params, images: torch.Tensor
    ) -> tuple[torch.Tensor, float]:
        began = time.perf_counter()
        network, initialization = self._networks[identity], self._initializations[identity]
        own = mapped(lambda tensor: tensor.to(self._device), adapted)
        fast_weights = {**initialization.params, **own}
        found = torch.cat(
            [
                logits(network, initialization, fast_weights, chunk.to(self._device)).cpu()
                for chunk in torch.split(images, QUERIES_AT_ONCE)
            ]
        )
        return found, time.perf_counter() - began


def _bounded(seconds: float) -> float:
    return min(seconds, 1e6)
