"""Classifying images with a session's adapted model, alone or together with other calls."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..engine.engine import Engine
from ..engine.scoring import scored
from ..engine.workers import Kind
from ..errors import Problem
from ..sessions.session import Session
from ..sessions.sessions import Sessions
from . import cautions
from .reading import Reader, is_small, query_problems, small_pixels
from .registry import Registry
from .values import Coming, Limits, PredictCall, Predicted, Ranked, Submitted, Timing

FEW_IMAGES = 8
"""What a call may hold that is read by the thread that computes."""
CALLS_TOGETHER = 8


@dataclass(frozen=True)
class _Asked:
    """A call whose session was found."""

    call: PredictCall
    session: Session
    checkpoint: Checkpoint
    problems: tuple[Problem, ...]
    store_seconds: float


class Predicting:
    """The use case of predicting."""

    def __init__(
        self, loaded: Registry, engine: Engine, sessions: Sessions, reader: Reader, limits: Limits
    ) -> None:
        self._loaded, self._engine, self._sessions = loaded, engine, sessions
        self._reader, self._limits = reader, limits
        self._small: Kind[tuple[PredictCall, float], Coming[Predicted]] = Kind(
            "predicting", "small calls to predict", self._together, most=CALLS_TOGETHER
        )

    def predict(self, call: PredictCall) -> Predicted:
        """Classify each image by itself.

        Raises SessionNotFound, InitializationNotLoaded, InvalidInput, Unavailable and
        DeadlineExceeded.
        """
        asked = self._asked(call)
        deadline = time.monotonic() + self._limits.deadline_seconds
        read = self._reader.read(call.images, asked.checkpoint, asked.problems, deadline)
        classified = self._engine.predict(
            asked.checkpoint.identity,
            asked.session.adapted,
            read.images,
            deadline_seconds=deadline - time.monotonic(),
        )
        waited = read.waited + classified.queue_seconds
        timing = Timing(read.decoding, waited, classified.compute_seconds, asked.store_seconds)
        return _predicted([asked], read.images, [classified.logits], [timing])[0]

    def submit(self, call: PredictCall) -> Submitted[Predicted] | None:
        """Have a small call done by the threads that compute, together with others that wait.

        That costs no thread of its own, and little of anybody's time. None where the call may
        hold the others up; the future gives None where only its images tell so: those are for
        `predict`. Raises Unavailable.
        """
        if not (is_small(call.images, FEW_IMAGES) and self._engine.reads_as_it_computes):
            return None
        return self._engine.submit(self._small, (call, time.perf_counter()))

    def _asked(self, call: PredictCall) -> _Asked:
        """Find the session, and what is wrong with the call besides its images."""
        began = time.perf_counter()
        session = self._sessions.touch(call.session_id, call.tenant)
        store_seconds = time.perf_counter() - began
        checkpoint = self._loaded.of(session)
        problems = [*call.problems, *query_problems(len(call.images), self._limits)]
        if call.top_k is not None and call.top_k < 1:
            message = f"expected 1 or more, got {call.top_k}"
            problems.append(Problem("out_of_range", message, "top_k"))
        return _Asked(call, session, checkpoint, tuple(problems), store_seconds)

    def _together(
        self, calls: Sequence[tuple[PredictCall, float]]
    ) -> list[Coming[Predicted] | BaseException]:
        """A prediction for each call, what it raises, or None where it is not small."""
        began = time.perf_counter()
        results: list[Coming[Predicted] | BaseException] = [None] * len(calls)
        ready: dict[str, list[tuple[int, _Asked, list[torch.Tensor]]]] = defaultdict(list)
        for place, (call, _) in enumerate(calls):
            try:
                asked = self._asked(call)
                decoded = small_pixels(call.images, asked.problems)
            except Exception as refused:  # noqa: BLE001 - raised by this call alone
                results[place] = refused
                continue
            if decoded is not None:
                ready[asked.checkpoint.identity].append((place, asked, decoded))
        for identity, group in ready.items():
            preprocessing = group[0][1].checkpoint.preprocessing
            images = preprocessing.prepare([image for _, _, own in group for image in own]).images
            read = time.perf_counter()
            logits = self._engine.predict_here(
                identity,
                [asked.session.adapted for _, asked, _ in group],
                images,
                [len(own) for _, _, own in group],
            )
            computed = time.perf_counter() - read
            timings = [
                Timing(read - began, began - calls[place][1], computed, asked.store_seconds)
                for place, asked, _ in group
            ]
            found = _predicted([asked for _, asked, _ in group], images, logits, timings)
            for (place, _, _), predicted in zip(group, found, strict=True):
                results[place] = predicted
        return results


def _predicted(
    asked: Sequence[_Asked],
    images: torch.Tensor,
    logits: Sequence[torch.Tensor],
    timings: Sequence[Timing],
) -> list[Predicted]:
    """What calls of one initialization are told, whose images are one after another."""
    checkpoint = asked[0].checkpoint
    blank = iter([False] * len(images))
    return [
        Predicted(
            session=one.session,
            checkpoint=checkpoint,
            predictions=predictions,
            warnings=cautions.blank_images(
                one.call.images, list(itertools.islice(blank, len(one.call.images)))
            ),
            timing=timing,
        )
        for one, predictions, timing in zip(
            asked, _predictions(asked, checkpoint, logits), timings, strict=True
        )
    ]


def _predictions(
    asked: Sequence[_Asked], checkpoint: Checkpoint, logits: Sequence[torch.Tensor]
) -> list[tuple[Ranked, ...]]:
    """The predictions of each call; those of one number of classes are computed together."""
    by_way: dict[int, list[int]] = defaultdict(list)
    for place, scores in enumerate(logits):
        by_way[scores.shape[1]].append(place)
    found: dict[int, tuple[Ranked, ...]] = {}
    for places in by_way.values():
        together = torch.cat([logits[place] for place in places])
        counts = [asked[p].session.image_counts for p in places for _ in range(len(logits[p]))]
        ranked = iter(scored(checkpoint.scoring, together, counts))
        for place in places:
            labels, top_k = asked[place].session.labels, asked[place].call.top_k
            found[place] = tuple(
                Ranked(_ranking(labels, row)[:top_k], score)
                for row, score in itertools.islice(ranked, len(logits[place]))
            )
    return [found[place] for place in range(len(asked))]


def _ranking(labels: tuple[str, ...], row: Sequence[float]) -> tuple[tuple[str, float], ...]:
    """Sorted by probability; ties go to the first label in sorted order."""
    return tuple(sorted(zip(labels, row, strict=True), key=lambda entry: (-entry[1], entry[0])))
