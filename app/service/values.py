"""What goes into the use cases and what comes out of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from ..engine.handle import Handle
from ..engine.work import Timing
from ..errors import Problem
from ..sessions.session import Session


@dataclass(frozen=True)
class Limits:
    """What one call and one session may ask for."""

    max_classes: int = 100
    max_support_images: int = 1000
    max_query_images: int = 1000
    default_ttl_seconds: float = 3600
    max_ttl_seconds: float = 86_400
    max_lifetime_seconds: float = 7 * 86_400
    deadline_seconds: float = 60
    report_deadline_seconds: float = 60
    concurrent_decodes: int = 2
    image_memory_bytes: int = 640 << 20
    may_keep_support: bool = True


@dataclass(frozen=True)
class SentImage:
    """An encoded image and where in the request it stood; its label as sent, "" of a query."""

    content: bytes
    field: str
    index: int
    label: str = ""

    @property
    def place(self) -> tuple[str, int]:
        """Where it stood, which no other image of its call shares."""
        return self.field, self.index


@dataclass(frozen=True)
class PredictCall:
    """What a call to predict asks for.

    ``problems`` are those that reading the call has found already; the service adds its own and
    refuses them together.
    """

    session_id: str
    images: Sequence[SentImage]
    top_k: int | None = None
    problems: Sequence[Problem] = ()
    tenant: str = ""


@dataclass(frozen=True)
class EvaluateCall:
    """What a call to evaluate asks for: queries with their labels. ``problems`` as above."""

    session_id: str
    images: Sequence[SentImage]
    problems: Sequence[Problem] = ()
    tenant: str = ""


@dataclass(frozen=True)
class AdaptOptions:
    """What a caller may choose about an adaptation; None takes the default."""

    initialization: str | None = None
    steps: int | None = None
    ttl_seconds: float | None = None
    keep_support: bool | None = None
    report: bool | None = None
    views: int | None = None


@dataclass(frozen=True)
class Notice:
    """Something a caller should know that is no reason to refuse."""

    code: str
    message: str


@dataclass(frozen=True)
class Suspect:
    """A support image that the others of its class disagree with.

    ``position`` counts the session's support images in the order sent; ``image`` is where it
    stood in this call, None if it came with an earlier one. ``margin`` is how far the logit of
    ``looks_like`` lies above that of its label.
    """

    position: int
    image: SentImage | None
    label: str
    looks_like: str
    margin: float
    probability: float


@dataclass(frozen=True)
class Confused:
    """How many images of a label were taken for another one."""

    label: str
    taken_for: str
    images: int


@dataclass(frozen=True)
class Confusion:
    """How images of some labels were classified: ``counts[i][j]`` of label ``i`` as label ``j``."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(labels: tuple[str, ...], truth: list[int], guesses: list[int]) -> Confusion:
        """Count label positions."""
        counts = [[0] * len(labels) for _ in labels]
        for right, guess in zip(truth, guesses, strict=True):
            counts[right][guess] += 1
        return Confusion(labels, tuple(map(tuple, counts)))

    def confused(self) -> tuple[Confused, ...]:
        """The pairs that were taken for each other, most often first."""
        pairs = [
            Confused(label, other, self.counts[i][j])
            for i, label in enumerate(self.labels)
            for j, other in enumerate(self.labels)
            if i != j and self.counts[i][j]
        ]
        return tuple(sorted(pairs, key=lambda pair: (-pair.images, pair.label, pair.taken_for)))


@dataclass(frozen=True)
class Report:
    """How a support set classifies its own images when they are held out.

    ``method`` is "leave_one_out" or "ten_fold"; ``accuracy`` in 0..1 of ``n_checked`` images, None
    if there are none. Copies of a picture are held out together and checked once, and not at all
    under several labels. Classes of one picture are ``not_checkable``: without it there is no
    class.
    """

    method: Literal["leave_one_out", "ten_fold"]
    n_checked: int
    accuracy: float | None
    confusion: Confusion
    suspects: tuple[Suspect, ...]
    not_checkable: tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """An initialization that could have been chosen, and what spoke for it.

    ``resemblance`` in 0..1 tells how much the images are the kind of picture that it is for,
    ``unlikeness`` how far off its training images they are (1 is its limit); None if not compared.
    """

    handle: Handle
    resemblance: float | None
    unlikeness: float | None


@dataclass(frozen=True)
class Choice:
    """The initialization that images decided for, why, and all that they decided among."""

    handle: Handle
    reason: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Adapted:
    """A session and how its adaptation went.

    ``choice`` is None where the images did not decide for the initialization; ``answer`` is what
    the caller of a keyed call is told, now and when the call is repeated.
    """

    session: Session
    handle: Handle
    losses: tuple[float, ...]
    support_accuracy: float
    warnings: tuple[Notice, ...]
    report: Report | None
    timing: Timing
    choice: Choice | None = None
    answer: bytes | None = None


@dataclass(frozen=True)
class Restored:
    """A session that was made of a file. ``answer`` is as that of `Adapted`."""

    session: Session
    handle: Handle
    warnings: tuple[Notice, ...]
    answer: bytes | None = None


Told = TypeVar("Told")


@dataclass(frozen=True)
class Keyed(Generic[Told]):
    """A call that its caller may repeat: its key and route, and how its answer is written."""

    key: str
    route: str
    status: int
    write: Callable[[Told], bytes]


@dataclass(frozen=True)
class AdaptCall:
    """What a call asks for that brings labelled images to adapt to.

    ``problems`` are those that reading the call has found already; the service adds its own and
    refuses them together. ``keyed`` is None where it may not be repeated.
    """

    images: Sequence[SentImage]
    options: AdaptOptions = AdaptOptions()
    problems: Sequence[Problem] = ()
    tenant: str = ""
    keyed: Keyed[Adapted] | None = None


@dataclass(frozen=True)
class RestoreCall:
    """A call that brings the file of a session; ``problems`` and ``keyed`` are as above."""

    content: bytes
    ttl_seconds: float | None = None
    problems: Sequence[Problem] = ()
    tenant: str = ""
    keyed: Keyed[Restored] | None = None


ExportFormat = Literal["safetensors", "onnx"]


@dataclass(frozen=True)
class ExportCall:
    """A call for a session as a file."""

    session_id: str
    format: ExportFormat
    tenant: str = ""


@dataclass(frozen=True)
class Exported:
    """A session as a file, with a name for it."""

    session: Session
    content: bytes
    filename: str


@dataclass(frozen=True)
class CheckCall:
    """What a call for the report on a session asks for.

    ``steps`` None takes the session's own; with ``embedding`` its images are laid out in a plane.
    """

    session_id: str
    steps: int | None = None
    embedding: bool = False
    problems: Sequence[Problem] = ()
    tenant: str = ""


@dataclass(frozen=True)
class Checked:
    """The report on a session's support set.

    ``labels`` are those of its images in the order sent, ``places`` where each lies in a plane, in
    -1..1, None where that was not asked for.
    """

    session: Session
    handle: Handle
    report: Report
    labels: tuple[str, ...]
    places: tuple[tuple[float, float], ...] | None
    timing: Timing


@dataclass(frozen=True)
class Replayed:
    """The answer that an earlier call with the same key and content got."""

    status: int
    content: bytes


@dataclass(frozen=True)
class Ranked:
    """One image's labels with probabilities, the most probable first.

    ``none_of_these`` is how far it is from them all, above 1 further than images of theirs are;
    None if the initialization has no such threshold.
    """

    labels: tuple[tuple[str, float], ...]
    none_of_these: float | None


@dataclass(frozen=True)
class Predicted:
    """The predictions of a call, in the order of its images."""

    session: Session
    handle: Handle
    predictions: tuple[Ranked, ...]
    warnings: tuple[Notice, ...]
    timing: Timing


@dataclass(frozen=True)
class Evaluated:
    """What labelled queries tell of a session: ``truth`` has the label of each prediction.

    ``log_loss`` is the mean in nats, ``calibration_error`` the expected one in 0..1.
    """

    predicted: Predicted
    images: tuple[SentImage, ...]
    truth: tuple[str, ...]
    confusion: Confusion
    log_loss: float
    calibration_error: float
