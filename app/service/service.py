"""The use cases, on the loaded initializations, one engine and one place for sessions."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch

from ..checkpoints.calibration import expected_calibration_error
from ..checkpoints.checkpoint import Checkpoint
from ..engine.engine import Engine
from ..errors import (
    Problem,
)
from ..sessions.session import (
    Page,
    Session,
)
from ..sessions.sessions import Clock, Sessions
from . import cautions
from .adapting import Adapting
from .loaded import Loaded
from .reading import Reader, clean_labels, query_problems
from .values import (
    Confusion,
    Evaluated,
    LabelledImage,
    Limits,
    Predicted,
    QueryImage,
    Ranked,
    Timing,
)


class Service:
    """Inkling without its wire."""

    def __init__(
        self,
        loaded: Loaded,
        engine: Engine,
        sessions: Sessions,
        limits: Limits,
        clock: Clock = time.time,
    ) -> None:
        self.loaded, self.limits = loaded, limits
        self.device_name, self.executor_name = engine.device_name, engine.executor_name
        self._engine, self._sessions, self._reader = engine, sessions, Reader(limits)
        self.adapting = Adapting(loaded, engine, sessions, self._reader, limits, clock)

    def close(self) -> None:
        """Finish what runs beside the engine."""
        self.adapting.close()

    def predict(
        self,
        session_id: str,
        images: Sequence[QueryImage | LabelledImage],
        top_k: int | None = None,
        problems: Sequence[Problem] = (),
        *,
        tenant: str = "",
    ) -> Predicted:
        """Classify each image by itself with a session's adapted model.

        ``problems`` are those that reading the call has found already.

        Raises SessionNotFound, InitializationNotLoaded, InvalidInput, Unavailable and
        DeadlineExceeded.
        """
        began = time.perf_counter()
        session = self._sessions.use(session_id, tenant)
        store_seconds = time.perf_counter() - began
        checkpoint = self.loaded.of(session)
        known = [*problems, *query_problems(len(images), self.limits)]
        if top_k is not None and top_k < 1:
            known.append(Problem("out_of_range", f"expected 1 or more, got {top_k}", "top_k"))
        deadline = time.monotonic() + self.limits.deadline_seconds
        read = self._reader.read(images, checkpoint, known, deadline)
        classified = self._engine.predict(
            checkpoint.identity,
            session.adapted,
            read.images,
            deadline_seconds=deadline - time.monotonic(),
        )
        return Predicted(
            session=session,
            checkpoint=checkpoint,
            predictions=_predictions(session, checkpoint, classified.logits, top_k),
            warnings=cautions.blank_images(images, read.images, checkpoint.preprocessing),
            timing=Timing(
                read.decoding,
                read.waited + classified.queue_seconds,
                classified.compute_seconds,
                store_seconds,
            ),
        )

    def evaluate(
        self,
        session_id: str,
        images: Sequence[LabelledImage],
        problems: Sequence[Problem] = (),
        *,
        tenant: str = "",
    ) -> Evaluated:
        """Classify images whose labels are known, and tell how well that went.

        Raises as `predict` does; a label that is none of the session's is InvalidInput.
        """
        session = self._sessions.look_at(session_id, tenant)
        labels, label_problems = clean_labels(images)
        unknown = [
            Problem(
                "unknown_label",
                f"expected one of the session's labels, got {label!r}",
                image.field,
                image.index,
            )
            for image, label in zip(images, labels, strict=True)
            if label not in session.labels
        ]
        known = [*problems, *label_problems, *unknown]
        predicted = self.predict(session_id, images, None, known, tenant=tenant)
        chances = [dict(ranked.labels) for ranked in predicted.predictions]
        guesses = [ranked.labels[0][0] for ranked in predicted.predictions]
        place = {label: position for position, label in enumerate(predicted.session.labels)}
        right = [chance[label] for chance, label in zip(chances, labels, strict=True)]
        return Evaluated(
            predicted=predicted,
            images=tuple(images),
            truth=tuple(labels),
            confusion=Confusion.of(
                predicted.session.labels,
                [place[label] for label in labels],
                [place[guess] for guess in guesses],
            ),
            log_loss=-sum(math.log(max(chance, 1e-12)) for chance in right) / len(right),
            calibration_error=expected_calibration_error(
                torch.tensor([ranked.labels[0][1] for ranked in predicted.predictions]),
                torch.tensor([g == label for g, label in zip(guesses, labels, strict=True)]),
            ),
        )

    def session(self, session_id: str, *, tenant: str = "") -> Session:
        """Look at a session; this is no use of it. Raises SessionNotFound."""
        return self._sessions.look_at(session_id, tenant)

    def page(self, *, tenant: str = "", limit: int, after: str | None) -> Page:
        """List a tenant's sessions, the newest first. Raises InvalidInput for a bad cursor."""
        return self._sessions.page(tenant, limit=limit, after=after)

    def forget(self, session_id: str, *, tenant: str = "") -> None:
        """Delete a session and all it holds. Raises SessionNotFound."""
        self._sessions.delete(session_id, tenant)

    def check(self) -> None:
        """Raise Unavailable when sessions cannot be reached."""
        self._sessions.check()


def _predictions(
    session: Session, checkpoint: Checkpoint, logits: torch.Tensor, top_k: int | None
) -> tuple[Ranked, ...]:
    rows = checkpoint.calibrated(logits).tolist()
    apart = checkpoint.none_of_these(logits, session.image_counts)
    scores = [None] * len(rows) if apart is None else apart.tolist()
    return tuple(
        Ranked(_ranking(session.labels, row)[:top_k], score)
        for row, score in zip(rows, scores, strict=True)
    )


def _ranking(labels: tuple[str, ...], row: Sequence[float]) -> tuple[tuple[str, float], ...]:
    """Sorted by probability; ties go to the first label in sorted order."""
    return tuple(sorted(zip(labels, row, strict=True), key=lambda entry: (-entry[1], entry[0])))
