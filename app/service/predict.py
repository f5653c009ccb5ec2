"""Classifying images with a session's adapted model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from ..engine.work import Queries
from .deadline import within
from .decoding import result_of
from .notices import blank_images, unconfirmed, unlike_queries
from .service import Service
from .validation import query_problems
from .values import PredictCall, Predicted, Ranked


async def predict(service: Service, call: PredictCall) -> Predicted:
    """Classify each image by itself; this extends the session.

    Raises SessionNotFound, InitializationNotLoaded, InvalidInput, Unavailable and
    DeadlineExceeded.
    """
    under_way = service.admission.images(call.tenant, len(call.images))
    async with within(service.limits.deadline_seconds, "predicting"):
        with under_way:
            began = time.perf_counter()
            session = await service.storage.touch(call.session_id, call.tenant)
            store_seconds = time.perf_counter() - began
            handle = service.registry.of(session)
            problems = [
                *call.problems,
                *query_problems(len(call.images), call.top_k, service.limits),
            ]
            images, decoding = await service.decoding.of(call.tenant).decode(
                call.images, handle.preprocessing, problems
            )
            queries = Queries(images, session.adapted, session.image_counts, session.n_views)
            job = service.engine.predict(handle, queries, call.tenant)
            classified = await result_of(job, call.images)
    return Predicted(
        session=session,
        handle=handle,
        predictions=tuple(
            Ranked(_ranking(session.labels, probabilities)[: call.top_k], distance)
            for probabilities, distance in classified.scores
        ),
        warnings=(
            *unconfirmed(session),
            *blank_images(call.images, classified.blank),
            *unlike_queries(handle.name, call.images, classified),
        ),
        timing=replace(decoding.plus(classified.timing), store=store_seconds),
    )


def _ranking(
    labels: Sequence[str], probabilities: Sequence[float]
) -> tuple[tuple[str, float], ...]:
    """Sorted by probability; ties go to the first label in sorted order."""
    entries = zip(labels, probabilities, strict=True)
    return tuple(sorted(entries, key=lambda entry: (-entry[1], entry[0])))
