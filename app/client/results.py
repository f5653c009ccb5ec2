"""What a server answers, as frozen values. Each keeps the whole answer, also by its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, overload


@dataclass(frozen=True)
class Answered:
    """An answer; ``answer`` is all that the server said, and ``result["name"]`` a part of it."""

    answer: Mapping[str, Any] = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        return self.answer[name]


@dataclass(frozen=True)
class Notice:
    """Something to know that was no reason to refuse: its code, and a sentence."""

    code: str
    message: str


@dataclass(frozen=True)
class LabelProbability:
    """A label with its probability in 0..1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image; ``ranking`` has the most probable label first.

    ``none_of_these`` tells whether the image probably belongs to none of the session's classes, and
    ``score`` how far it is from the nearest of them (1 is the limit); None where the initialization
    cannot tell. ``source`` is the image's path, or its name in a folder or archive, if it has one.
    """

    label: str
    probability: float
    ranking: tuple[LabelProbability, ...]
    none_of_these: bool | None
    score: float | None = None
    source: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """An image that the server cannot use: its ``position`` among those given, and why."""

    position: int
    message: str
    source: str | None = None


@dataclass(frozen=True)
class Predictions(Sequence[Prediction]):
    """Predictions in the order of the images, and the ``warnings`` on them.

    ``left_out`` has the images without a prediction, where these were to be left out.
    """

    predictions: tuple[Prediction, ...]
    warnings: tuple[Notice, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.predictions)

    @overload
    def __getitem__(self, place: int) -> Prediction: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Prediction, ...]: ...
    def __getitem__(self, place: int | slice) -> Prediction | tuple[Prediction, ...]:
        return self.predictions[place]


@dataclass(frozen=True)
class Confusion:
    """How images were classified: ``counts[i][j]`` of label ``i`` as label ``j``."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Confused:
    """How many images of a label were taken for another one."""

    label: str
    taken_for: str
    images: int


@dataclass(frozen=True)
class Suspect:
    """A support image that looks mislabelled; ``probability`` is that of ``looks_like``.

    ``position`` is its place in the session's support set, which `remove` takes. ``source`` is its
    path where the session object knows it.
    """

    position: int
    label: str
    looks_like: str
    margin: float
    probability: float
    source: str | None = None


@dataclass(frozen=True)
class MapPoint:
    """A support image on the map of the support set; ``x`` and ``y`` in -1..1."""

    position: int
    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Report:
    """How a support set classifies its own images when they are held out in turn.

    ``accuracy`` in 0..1 of ``n_checked`` images, None if there are none; ``embedding`` is the map
    of the support images, None unless it was asked for.
    """

    method: str
    n_checked: int
    accuracy: float | None
    confusion: Confusion
    confused: tuple[Confused, ...]
    suspects: tuple[Suspect, ...]
    not_checkable: tuple[str, ...]
    embedding: tuple[MapPoint, ...] | None = None


@dataclass(frozen=True)
class Candidate:
    """An initialization that could have been chosen, and what spoke for it."""

    name: str
    resemblance: float | None
    unlikeness: float | None


@dataclass(frozen=True)
class Choice:
    """The initialization that the images decided for, and why."""

    chosen: str
    reason: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class SessionInfo(Answered):
    """A session as the server knows it; ``images`` counts the support images of each label.

    ``initialization`` is the name of the one it adapts from, None where that is not loaded.
    """

    session_id: str
    initialization: str | None
    labels: tuple[str, ...]
    images: Mapping[str, int]
    steps: int
    version: int
    views: int | None
    keeps_support: bool
    created_at: datetime
    expires_at: datetime
    ends_at: datetime
    ttl_seconds: float


@dataclass(frozen=True)
class Adaptation(SessionInfo):
    """A session that was made or changed, and how its adaptation went.

    ``loss`` is the support loss in nats before each inner step and after the last,
    ``support_accuracy`` the share of support images in 0..1 that are classified right afterwards.
    ``choice`` is None unless the images decided for the initialization, ``report`` unless it was
    asked for and finished in time.
    """

    loss: tuple[float, ...]
    support_accuracy: float
    choice: Choice | None
    warnings: tuple[Notice, ...]
    report: Report | None


@dataclass(frozen=True)
class ClassResult:
    """How the queries of one class were classified; None where there is nothing to divide by."""

    label: str
    images: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class Mistake:
    """A query that was classified as another label; ``position`` counts the images as given."""

    position: int
    label: str
    predicted: str
    probability: float
    source: str | None = None


@dataclass(frozen=True)
class Evaluation(Answered):
    """What labelled queries tell of a session; ``answer`` is that of the last call it took.

    ``log_loss`` is in nats. ``calibration_error`` is None where the queries took several calls,
    whose errors do not add up. ``none_of_these`` is the share of queries that count as none of the
    classes, None where the initialization cannot tell.
    """

    n_images: int
    accuracy: float
    classes: tuple[ClassResult, ...]
    confusion: Confusion
    mistakes: tuple[Mistake, ...]
    log_loss: float
    calibration_error: float | None
    none_of_these: float | None
    warnings: tuple[Notice, ...]


@dataclass(frozen=True)
class InitializationInfo(Answered):
    """An initialization that a server has loaded."""

    name: str
    identity: str
    default: bool
    description: str
    preprocessing: str
    licence: str
    max_classes: int


@dataclass(frozen=True)
class Limits:
    """What one call and one session may have; the defaults are those of a server."""

    max_body_bytes: int = 32 * 2**20
    max_support_images: int = 1000
    max_query_images: int = 1000
    max_classes: int = 100
    max_ttl_seconds: float | None = None
