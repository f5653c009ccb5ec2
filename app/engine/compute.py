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
from ..images.fingerprints import fingerprints, unknown
from ..images.prepared import Prepared, split
from ..images.preprocessing import Preprocessing, packed, unpacked
from ..meta.episode import Support
from ..meta.head import BIAS, WEIGHT
from ..meta.params import Params, all_finite, copied_channels_last, mapped
from ..meta.plane import plane
from .executor import Executor, Outcome
from .handle import Handle
from .queue import BatchKey, Job
from .scoring import scored
from .work import Adaptation, Classification, Fold, Layout, SupportSet, Timing

ADAPTING, PREDICTING = "adapting", "predicting"
FREEZING, HOLDING_OUT = "preparing images", "checking images"
LAYING_OUT = "laying out images"
MOST_FROZEN_BYTES, FLOAT_BYTES = 1 << 24, 4
"""Of images that are floats at once, for an executor to which it makes no difference."""
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
            LAYING_OUT: self._lay_out,
        }

    @torch.no_grad()
    def __call__(self, key: BatchKey, jobs: Sequence[Job]) -> list[Any]:
        """A result for each job of a batch, or the exception that this one job ends with."""
        results = self._tasks[key.task](key, jobs)
        return [results[job] for job in jobs]

    def _adapt(self, key: BatchKey, jobs: Sequence[Job]) -> Results:
        began, handle = time.perf_counter(), key.handle
        prepared, results = decode_together(handle.preprocessing, jobs, fingerprinting=True)
        decoded = time.perf_counter()
        if not prepared:
            return results
        features = self._support_features(handle, prepared)
        supports = [
            Support(own, self._placed(job.work.labels), job.work.n_way)
            for job, own in zip(prepared, features, strict=True)
        ]
        outcomes = handle.executor.adapt(supports, key.steps)
        for job, own, outcome in zip(prepared, features, outcomes, strict=True):
            try:
                if handle.keeps_features:
                    kept = own[len(own) - len(prepared[job]) :].to(torch.float16).cpu()
                else:
                    kept = unpacked(handle.preprocessing, prepared[job].images)
                adaptation = _adaptation(outcome, job.work, prepared[job], kept)
                results[job] = replace(
                    adaptation,
                    unlikeness=_unlikeness(handle, prepared[job]),
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
        views = handle.query_views_of(jobs[0].work.n_views)
        frozen = torch.split(self._frozen(handle, images, views), sizes)
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
            unlikeness = handle.unlikeness_of_each(queries.statistics)
            timing = _timing(job, began, decoded)
            results[job] = Classification(own, queries.blank, unlikeness, timing)
        return results

    def _freeze(self, key: BatchKey, jobs: Sequence[Job]) -> Results:
        return {job: self._frozen_of_kept(key.handle, job.work) for job in jobs}

    def _frozen_of_kept(self, handle: Handle, kept: torch.Tensor) -> torch.Tensor:
        if handle.keeps_features:
            return self._placed(kept).to(torch.float32)
        return self._frozen(handle, kept, handle.views_of(None))

    def _lay_out(self, key: BatchKey, jobs: Sequence[Job]) -> Results:
        return {job: plane(self._features(key.handle, job.work)) for job in jobs}

    def _features(self, handle: Handle, layout: Layout) -> torch.Tensor:
        """`(support, feature)`: those that a session classifies its support images by.

        A head whose rows are the axes of the feature space has them as its logits.
        """
        n_features = layout.adapted[WEIGHT].shape[1]
        axes = {WEIGHT: torch.eye(n_features), BIAS: torch.zeros(n_features)}
        by_axes: Params = mapped(self._placed, {**layout.adapted, **axes})
        frozen = self._frozen_of_kept(handle, layout.kept)
        return handle.executor.logits([by_axes], [frozen])[0].cpu() / handle.scoring.scale

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

    def _support_features(
        self, handle: Handle, prepared: Mapping[Job, Prepared]
    ) -> list[torch.Tensor]:
        """`(support, 1 + view, ...)` frozen features of each job, what was kept coming first."""
        supports = [job.work for job in prepared]
        images = [just_sent.images for just_sent in prepared.values()]
        if handle.keeps_features and not any(len(own) for own in images):
            return [self._placed(each.kept).to(torch.float32) for each in supports]
        if not handle.keeps_features:
            images = [
                _behind(each.kept, unpacked(handle.preprocessing, own))
                for each, own in zip(supports, images, strict=True)
            ]
        views = handle.views_of(supports[0].n_views)
        frozen = self._frozen(handle, _joined(images), views)
        features = torch.split(frozen, [len(own) for own in images])
        if not handle.keeps_features:
            return list(features)
        return [
            _behind(None if each.kept is None else self._placed(each.kept).to(own), own)
            for each, own in zip(supports, features, strict=True)
        ]

    def _frozen(self, handle: Handle, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """`(image, 1 + view, ...)` frozen features, computed in parts that fit the caches.

        Images are made floats part by part, where they are bytes.
        """
        most = handle.executor.max_frozen_bytes or MOST_FROZEN_BYTES
        together = max(1, most // (FLOAT_BYTES * images[0].numel()))
        features = [
            handle.executor.frozen_features(
                self._placed(unpacked(handle.preprocessing, part)), views
            )
            for part in torch.split(images, together)
        ]
        return _joined(features)

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        """On the device; through pinned memory, which a GPU reads beside its work."""
        if self._device.type == "cpu" or tensor.is_cuda:
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)


def decode_together(
    preprocessing: Preprocessing, jobs: Sequence[Job], *, fingerprinting: bool = False
) -> tuple[dict[Job, Prepared], Results]:
    """The prepared images of each job, and BadImages for each that has images without pixels.

    ``fingerprinting`` takes their fingerprints too.
    """
    prepared: dict[Job, Prepared] = {}
    refused: Results = {}
    decoded: dict[Job, list[torch.Tensor]] = {}
    for job in jobs:
        if isinstance(job.work.images, Prepared):
            prepared[job] = packed(preprocessing, job.work.images)
            continue
        try:
            decoded[job] = _decoded(job.work.images, preprocessing.useful_side)
        except BadImages as bad:
            refused[job] = bad
    if decoded:
        rgba = [image for own in decoded.values() for image in own]
        together = packed(preprocessing, preprocessing.prepare(rgba))
        if fingerprinting:
            together = replace(together, fingerprints=fingerprints(rgba))
        sizes = [len(own) for own in decoded.values()]
        prepared |= dict(zip(decoded, split(together, sizes), strict=True))
    return prepared, refused


def _decoded(images: Sequence[bytes | torch.Tensor], useful_side: int | None) -> list[torch.Tensor]:
    """`(height, width, 4)` of each image. Raises BadImages for all that have no pixels."""
    decoded: list[torch.Tensor] = []
    bad: dict[int, BadImage] = {}
    for position, image in enumerate(images):
        try:
            decoded.append(decode(image, useful_side) if isinstance(image, bytes) else image)
        except BadImage as damaged:
            bad[position] = damaged
    if bad:
        raise BadImages(bad)
    return decoded


def _joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """All rows of some tensors; those of a single one are not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _behind(kept: torch.Tensor | None, rows: torch.Tensor) -> torch.Tensor:
    """Rows with what was kept in front of them."""
    return rows if kept is None else torch.cat([kept, rows])


def _unlikeness(handle: Handle, just_sent: Prepared) -> float | None:
    return handle.unlikeness(just_sent.statistics) if len(just_sent) else None


def _adaptation(
    outcome: Outcome, support: SupportSet, just_sent: Prepared, kept: torch.Tensor
) -> Adaptation:
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
    taken = just_sent.fingerprints
    return Adaptation(
        adapted=adapted,
        losses=tuple(losses),
        support_predictions=tuple(predictions.tolist()),
        support_accuracy=float((predictions == support.labels).to(torch.float32).mean()),
        blank=just_sent.blank,
        kept=kept,
        fingerprints=unknown(len(just_sent)) if taken is None else taken,
    )


def _timing(job: Job, began: float, decoded: float) -> Timing:
    """Where a job's time went: it began with its batch, and what its batch took counts for it."""
    return Timing(decoded - began, began - job.asked, time.perf_counter() - decoded)
