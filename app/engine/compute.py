"""The results of jobs: decoded where they are not yet, then computed by their executor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..errors import BadImage, BadImages, InnerLoopDiverged
from ..images.decode import decode
from ..images.prepared import Prepared, split
from ..images.preprocessing import Preprocessing
from ..meta.episode import Support
from ..meta.params import all_finite, copied_channels_last, mapped
from .executor import Executor, Outcome
from .handle import Handle
from .queue import BatchKey, Job
from .scoring import scored
from .work import Adaptation, Classification, Fold, SupportSet, Timing

ADAPTING, PREDICTING = "adapting", "predicting"
FREEZING, HOLDING_OUT = "preparing images", "checking images"
TRUNK_BYTES = 1 << 19
"""Network input that goes through the frozen parts at once: what they make of it stays in the
caches."""
Results = dict[Job, Any]
"""The result of each job, or the exception that this one job ends with."""


class Compute:
    """Computes batches of jobs on one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._tasks: Mapping[str, Callable[[BatchKey, Sequence[Job]], Results]] = {
            ADAPTING: self._adapt,
            PREDICTING: self._predict,
            FREEZING: self._freeze,
            HOLDING_OUT: self._hold_out,
        }

    @torch.no_grad()
    def __call__(self, key: BatchKey, jobs: Sequence[Job]) -> list[Any]:
        """A result for each job of a batch, or the exception that this one job ends with."""
        results = self._tasks[key.task](key, jobs)
        return [results[job] for job in jobs]

    def _adapt(self, key: BatchKey, jobs: Sequence[Job]) -> Results:
        began, handle = time.perf_counter(), key.handle
        prepared, results = decode_together(handle.preprocessing, jobs)
        decoded = time.perf_counter()
        if not prepared:
            return results
        images = [_with_kept(job.work, just_sent) for job, just_sent in prepared.items()]
        frozen = self._frozen(handle, _joined(images), handle.views)
        supports = [
            Support(features, self._placed(job.work.labels), job.work.n_way)
            for job, features in zip(
                prepared, torch.split(frozen, [len(each) for each in images]), strict=True
            )
        ]
        outcomes = handle.executor.adapt(supports, key.steps)
        for job, outcome in zip(prepared, outcomes, strict=True):
            try:
                adaptation = _adaptation(outcome, job.work, prepared[job])
                results[job] = replace(
                    adaptation,
                    unlikeness=handle.unlikeness(prepared[job].statistics),
                    timing=_timing(job, began, decoded),
                )
            except InnerLoopDiverged as diverged:
                results[job] = diverged
        return results

    def _predict(self, key: BatchKey, jobs: Sequence[Job]) -> Results:
        began, handle = time.perf_counter(), key.handle
        prepared, results = decode_together(handle.preprocessing, jobs)
        decoded = time.perf_counter()
        if not prepared:
            return results
        sizes = [len(queries) for queries in prepared.values()]
        images = _joined([queries.images for queries in prepared.values()])
        frozen = torch.split(self._frozen(handle, images, handle.query_views), sizes)
        adapted = [mapped(self._placed, job.work.adapted) for job in prepared]
        logits = _joined(handle.executor.logits(adapted, frozen)).cpu()
        counts = [
            job.work.image_counts
            for job, size in zip(prepared, sizes, strict=True)
            for _ in range(size)
        ]
        scores = iter(scored(handle.scoring, logits, counts))
        for job, queries in prepared.items():
            own = [next(scores) for _ in queries.blank]
            results[job] = Classification(own, queries.blank, _timing(job, began, decoded))
        return results

    def _freeze(self, key: BatchKey, jobs: Sequence[Job]) -> Results:
        return {job: self._frozen(key.handle, job.work, key.handle.views) for job in jobs}

    def _hold_out(self, key: BatchKey, jobs: Sequence[Job]) -> Results:
        return {job: self._held_out(key.handle.executor, job.work, key.steps) for job in jobs}

    def _held_out(self, executor: Executor, fold: Fold, steps: int) -> torch.Tensor:
        others = torch.ones(len(fold.labels), dtype=torch.bool)
        others[list(fold.held_out)] = False
        labels = self._placed(fold.labels[others])
        outcome = executor.adapt([Support(fold.frozen[others], labels, fold.n_way)], steps)[0]
        logits = executor.logits([outcome.adapted], [fold.frozen[~others]])[0].cpu()
        if not bool(torch.isfinite(logits).all()):
            raise InnerLoopDiverged(steps, float(outcome.losses[-1]))
        return logits

    def _frozen(self, handle: Handle, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """`(image, 1 + view, ...)` frozen features, computed in parts that fit the caches."""
        together = max(1, TRUNK_BYTES * len(images) // images.nbytes)
        features = [
            handle.executor.frozen_features(self._placed(part), views)
            for part in torch.split(images, together)
        ]
        return _joined(features)

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        """On the device; through pinned memory, which a GPU reads beside its work."""
        if self._device.type == "cpu" or tensor.is_cuda:
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)


def decode_together(
    preprocessing: Preprocessing, jobs: Sequence[Job]
) -> tuple[dict[Job, Prepared], Results]:
    """The prepared images of each job, and BadImages for each that has images without pixels."""
    prepared: dict[Job, Prepared] = {}
    refused: Results = {}
    decoded: dict[Job, list[torch.Tensor]] = {}
    for job in jobs:
        if isinstance(job.work.images, Prepared):
            prepared[job] = job.work.images
            continue
        try:
            decoded[job] = _decoded(job.work.images, preprocessing.useful_side)
        except BadImages as bad:
            refused[job] = bad
    if decoded:
        together = preprocessing.prepare([rgba for own in decoded.values() for rgba in own])
        sizes = [len(own) for own in decoded.values()]
        prepared |= dict(zip(decoded, split(together, sizes), strict=True))
    return prepared, refused


def _decoded(images: Sequence[bytes], useful_side: int | None) -> list[torch.Tensor]:
    """`(height, width, 4)` of each image. Raises BadImages for all that have no pixels."""
    decoded: list[torch.Tensor] = []
    bad: dict[int, BadImage] = {}
    for position, image in enumerate(images):
        try:
            decoded.append(decode(image, useful_side))
        except BadImage as damaged:
            bad[position] = damaged
    if bad:
        raise BadImages(bad)
    return decoded


def _joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """All rows of some tensors; those of a single one are not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _with_kept(support: SupportSet, just_sent: Prepared) -> torch.Tensor:
    """All images of a support set, the kept ones first."""
    if support.kept is None:
        return just_sent.images
    return torch.cat([support.kept, just_sent.images])


def _adaptation(outcome: Outcome, support: SupportSet, just_sent: Prepared) -> Adaptation:
    """An outcome as it is kept and told. Raises InnerLoopDiverged."""
    losses = outcome.losses.tolist()
    for step, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise InnerLoopDiverged(step, loss)
    # The format decides rounding: the same here and when a session is read from its store.
    adapted = copied_channels_last(outcome.adapted)
    if not all_finite(adapted):
        raise InnerLoopDiverged(len(losses) - 1, math.nan)
    predictions = outcome.scores.argmax(1).cpu()
    return Adaptation(
        adapted=adapted,
        losses=tuple(losses),
        support_predictions=tuple(predictions.tolist()),
        support_accuracy=float((predictions == support.labels).to(torch.float32).mean()),
        prepared=just_sent,
    )


def _timing(job: Job, began: float, decoded: float) -> Timing:
    """Where a job's time went: it began with its batch, and what its batch took counts for it."""
    return Timing(decoded - began, began - job.asked, time.perf_counter() - decoded)
