"""The use cases, on the loaded initializations, one engine and one place for sessions."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch

from ..engine.engine import Engine
from ..errors import (
    Problem,
)
from ..meta.scores import expected_calibration_error
from ..sessions.session import (
    Page,
    Session,
)
from ..sessions.sessions import Clock, Sessions
from .adapting import Adapting
from .predicting import Predicting
from .reading import Reader, clean_labels
from .registry import Registry
from .values import (
    Confusion,
    Evaluated,
    LabelledImage,
    Limits,
    PredictCall,
)


class Service:
    """Inkling without its wire."""

    def __init__(
        self,
        loaded: Registry,
        engine: Engine,
        sessions: Sessions,
        limits: Limits,
        clock: Clock = time.time,
    ) -> None:
        self.loaded, self.limits = loaded, limits
        self.device_name, self.executor_name = engine.device_name, engine.executor_name
        self.taken, self.waiting, self.usage = engine.taken, engine.waiting, sessions.usage
        self._sessions = sessions
        reader = Reader(limits)
        self.adapting = Adapting(loaded, engine, sessions, reader, limits, clock)
        self.predicting = Predicting(loaded, engine, sessions, reader, limits)

    def close(self) -> None:
        """Finish what runs beside the engine."""
        self.adapting.close()

    def evaluate(
        self,
        session_id: str,
        images: Sequence[LabelledImage],
        problems: Sequence[Problem] = (),
        *,
        tenant: str = "",
    ) -> Evaluated:
        """Classify images whose labels are known, and tell how well that went.

        Raises as `Predicting.predict` does; a label that is none of the session's is InvalidInput.
        """
        session = self._sessions.read(session_id, tenant)
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
        predicted = self.predicting.predict(
            PredictCall(session_id, images, None, known, tenant=tenant)
        )
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
        return self._sessions.read(session_id, tenant)

    def page(self, *, tenant: str = "", limit: int, after: str | None) -> Page:
        """List a tenant's sessions, the newest first. Raises InvalidInput for a bad cursor."""
        return self._sessions.page(tenant, limit=limit, after=after)

    def forget(self, session_id: str, *, tenant: str = "") -> None:
        """Delete a session and all it holds. Raises SessionNotFound."""
        self._sessions.delete(session_id, tenant)

    def check(self) -> None:
        """Raise Unavailable when sessions cannot be reached."""
        self._sessions.check()
