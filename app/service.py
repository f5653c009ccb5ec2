"""The use cases: adapt, predict, look at, forget. No HTTP here, and no tensor arithmetic."""

from __future__ import annotations

import hashlib
import math
import threading
import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from .checkpoints.checkpoint import Checkpoint
from .engine.engine import Engine
from .errors import (
    BadImage,
    DeadlineExceeded,
    InitializationNotLoaded,
    InvalidInput,
    Problem,
)
from .images.decode import decode
from .images.preprocess import Drawing
from .meta.episode import Support
from .sessions.memory import Clock, MemorySessions
from .sessions.session import Session, new_session_id

MAX_LABEL_LENGTH = 100
MIN_CLASSES = 2
TOO_MANY_IMAGES = "too_many_images"
LOOKED_AT = 20
"""Images of a support set that other initializations are compared by."""


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
    concurrent_decodes: int = 2


@dataclass(frozen=True)
class LabelledImage:
    """An encoded image, its label as sent, and where in the request it stood."""

    label: str
    content: bytes
    field: str
    index: int


@dataclass(frozen=True)
class QueryImage:
    """An encoded image to classify, and where in the request it stood."""

    content: bytes
    field: str
    index: int


@dataclass(frozen=True)
class AdaptOptions:
    """What a caller may choose about an adaptation; None takes the default."""

    initialization: str | None = None
    steps: int | None = None
    ttl_seconds: float | None = None


@dataclass(frozen=True)
class Timing:
    """Where the time of a call went, in seconds."""

    decode: float
    queue: float
    compute: float
    store: float = 0.0


@dataclass(frozen=True)
class Warned:
    """Something a caller should know that is no reason to refuse."""

    code: str
    message: str


@dataclass(frozen=True)
class Adapted:
    """A new session and how its adaptation went."""

    session: Session
    checkpoint: Checkpoint
    losses: tuple[float, ...]
    support_accuracy: float
    warnings: tuple[Warned, ...]
    timing: Timing


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
    checkpoint: Checkpoint
    predictions: tuple[Ranked, ...]
    warnings: tuple[Warned, ...]
    timing: Timing


class Service:
    """Inkling without its wire."""

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        engine: Engine,
        sessions: MemorySessions,
        limits: Limits,
        clock: Clock = time.time,
    ) -> None:
        """The first checkpoint is the default initialization."""
        self._decoders = threading.BoundedSemaphore(limits.concurrent_decodes)
        self.checkpoints: Mapping[str, Checkpoint] = {c.name: c for c in checkpoints}
        self.limits = limits
        self.device_name, self.executor = engine.device_name, engine.executor
        self._default = checkpoints[0].name
        self._by_identity = {checkpoint.identity: checkpoint for checkpoint in checkpoints}
        self._engine, self._sessions, self._clock = engine, sessions, clock

    @property
    def default_initialization(self) -> str:
        """The name of the initialization that calls get when they name none."""
        return self._default

    def adapt(
        self,
        images: Sequence[LabelledImage],
        options: AdaptOptions,
        problems: Sequence[Problem] = (),
    ) -> Adapted:
        """Make a session from a support set: all of it, or nothing and a list of all problems.

        ``problems`` are those that reading the call has found already.

        Raises InvalidInput, InitializationNotLoaded, InnerLoopDiverged, Unavailable and
        DeadlineExceeded.
        """
        checkpoint = self._chosen(options.initialization)
        labels, label_problems = _clean_labels(images)
        found = [
            *problems,
            *self._option_problems(options, checkpoint),
            *label_problems,
            *self._shape_problems(images, labels),
        ]
        deadline = time.monotonic() + self.limits.deadline_seconds
        tensors, waited, decode_seconds = self._preprocess(images, checkpoint, found, deadline)
        # The order of the labels decides nothing but ties, and is the same for any sending order.
        names = tuple(sorted(set(labels)))
        support = Support(
            tensors, torch.tensor([names.index(label) for label in labels]), len(names)
        )
        adaptation = self._engine.adapt(
            checkpoint.identity,
            support,
            steps=options.steps,
            deadline_seconds=deadline - time.monotonic(),
        )
        unlike = self._unlike_warnings(images, tensors, checkpoint, deadline)
        began = time.perf_counter()
        session = self._new_session(checkpoint, options, adaptation.adapted, names, labels)
        self._sessions.put(session)
        return Adapted(
            session=session,
            checkpoint=checkpoint,
            losses=adaptation.losses,
            support_accuracy=adaptation.support_accuracy,
            warnings=(*_warnings(images, labels, tensors, checkpoint.preprocessing), *unlike),
            timing=Timing(
                decode=decode_seconds,
                queue=waited + adaptation.queue_seconds,
                compute=adaptation.compute_seconds,
                store=time.perf_counter() - began,
            ),
        )

    def predict(
        self,
        session_id: str,
        images: Sequence[QueryImage],
        top_k: int | None = None,
        problems: Sequence[Problem] = (),
    ) -> Predicted:
        """Classify each image by itself with a session's adapted model.

        ``problems`` are those that reading the call has found already.

        Raises SessionNotFound, InitializationNotLoaded, InvalidInput, Unavailable and
        DeadlineExceeded.
        """
        began = time.perf_counter()
        session = self._sessions.use(session_id)
        store_seconds = time.perf_counter() - began
        checkpoint = self.checkpoint_of(session)
        known = [*problems, *self._query_problems(images, top_k)]
        deadline = time.monotonic() + self.limits.deadline_seconds
        tensors, waited, decode_seconds = self._preprocess(images, checkpoint, known, deadline)
        classified = self._engine.predict(
            checkpoint.identity,
            session.adapted,
            tensors,
            deadline_seconds=deadline - time.monotonic(),
        )
        return Predicted(
            session=session,
            checkpoint=checkpoint,
            predictions=_predictions(session, checkpoint, classified.logits, top_k),
            warnings=_blank_warnings(images, tensors, checkpoint.preprocessing),
            timing=Timing(
                decode_seconds,
                waited + classified.queue_seconds,
                classified.compute_seconds,
                store_seconds,
            ),
        )

    def session(self, session_id: str) -> Session:
        """Look at a session; this is no use of it. Raises SessionNotFound."""
        return self._sessions.look_at(session_id)

    def forget(self, session_id: str) -> None:
        """Delete a session and all it holds. Raises SessionNotFound."""
        self._sessions.delete(session_id)

    def checkpoint_of(self, session: Session) -> Checkpoint:
        """The checkpoint a session was adapted from. Raises InitializationNotLoaded."""
        if session.identity not in self._by_identity:
            raise InitializationNotLoaded(session.identity, list(self.checkpoints))
        return self._by_identity[session.identity]

    def _preprocess(
        self,
        images: Sequence[LabelledImage | QueryImage],
        checkpoint: Checkpoint,
        problems: Sequence[Problem],
        deadline: float,
    ) -> tuple[torch.Tensor, float, float]:
        """`(image, channel, height, width)`, seconds waited for a decoder, seconds of decoding.

        Raises InvalidInput with ``problems``, the ones known before, and every bad image (one
        that a problem names already is not looked at again, and none if there are too many);
        DeadlineExceeded when ``deadline`` (monotonic seconds) passes.
        """
        listed = list(problems)
        if any(problem.code == TOO_MANY_IMAGES for problem in listed):
            raise InvalidInput(listed)
        named = {(problem.field, problem.index) for problem in problems}
        tensors: list[torch.Tensor] = []
        waited = decoding = 0.0
        for image in images:
            if (image.field, image.index) in named:
                continue
            asked = time.monotonic()
            # One image at a time, so that a call with many large ones lets others in between.
            if asked >= deadline or not self._decoders.acquire(timeout=deadline - asked):
                raise DeadlineExceeded("decoding the images", self.limits.deadline_seconds)
            began = time.monotonic()
            try:
                tensors.append(checkpoint.preprocessing(decode(image.content)))
            except BadImage as bad:
                listed.append(Problem(bad.code, str(bad), image.field, image.index))
            finally:
                self._decoders.release()
            waited += began - asked
            decoding += time.monotonic() - began
        if listed:
            raise InvalidInput(listed)
        return torch.stack(tensors), waited, decoding

    def _unlike_warnings(
        self,
        images: Sequence[LabelledImage],
        tensors: torch.Tensor,
        checkpoint: Checkpoint,
        deadline: float,
    ) -> tuple[Warned, ...]:
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
        for name, other in self.checkpoints.items():
            if other is checkpoint or other.config.calibration is None:
                continue
            try:
                tensors, _, _ = self._preprocess(some, other, (), deadline)
            except DeadlineExceeded:
                return None
            found = _unlikeness(other, tensors)
            if found is not None and found <= 1:
                fitting[name] = found
        return min(fitting, key=lambda name: fitting[name], default=None)

    def _chosen(self, name: str | None) -> Checkpoint:
        wanted = self._default if name is None else name
        if wanted not in self.checkpoints:
            raise InvalidInput(
                [
                    Problem(
                        "unknown_initialization",
                        f"expected one of {', '.join(self.checkpoints)}, got {wanted!r}",
                        "initialization",
                    )
                ]
            )
        return self.checkpoints[wanted]

    def _option_problems(self, options: AdaptOptions, checkpoint: Checkpoint) -> list[Problem]:
        problems = []
        most_steps = checkpoint.config.inner_loop.max_steps
        if options.steps is not None and not 0 <= options.steps <= most_steps:
            problems.append(
                Problem(
                    "out_of_range",
                    f"expected 0 to {most_steps}, the most that {checkpoint.name!r} was "
                    f"validated for, got {options.steps}",
                    "steps",
                )
            )
        ttl, longest = options.ttl_seconds, self.limits.max_ttl_seconds
        if ttl is not None and not (math.isfinite(ttl) and 1 <= ttl <= longest):
            problems.append(
                Problem("out_of_range", f"expected 1 to {longest:g}, got {ttl:g}", "ttl_seconds")
            )
        return problems

    def _shape_problems(
        self, images: Sequence[LabelledImage], labels: Sequence[str]
    ) -> list[Problem]:
        if not images:
            return [Problem("no_images", "expected labelled images, got none")]
        problems = []
        if len(images) > self.limits.max_support_images:
            problems.append(
                Problem(
                    TOO_MANY_IMAGES,
                    f"expected at most {self.limits.max_support_images} images, got {len(images)}",
                )
            )
        classes = len(set(labels))
        if not MIN_CLASSES <= classes <= self.limits.max_classes:
            problems.append(
                Problem(
                    "number_of_classes",
                    f"expected images of {MIN_CLASSES} to {self.limits.max_classes} different "
                    f"labels, got {classes}",
                )
            )
        return problems

    def _query_problems(self, images: Sequence[QueryImage], top_k: int | None) -> list[Problem]:
        problems = []
        if not images:
            problems.append(Problem("no_images", "expected at least one image, got none"))
        if len(images) > self.limits.max_query_images:
            problems.append(
                Problem(
                    TOO_MANY_IMAGES,
                    f"expected at most {self.limits.max_query_images} images, got {len(images)}",
                )
            )
        if top_k is not None and top_k < 1:
            problems.append(Problem("out_of_range", f"expected 1 or more, got {top_k}", "top_k"))
        return problems

    def _new_session(
        self,
        checkpoint: Checkpoint,
        options: AdaptOptions,
        adapted: Mapping[str, torch.Tensor],
        names: tuple[str, ...],
        labels: Sequence[str],
    ) -> Session:
        now = self._clock()
        limits = self.limits
        ttl = limits.default_ttl_seconds if options.ttl_seconds is None else options.ttl_seconds
        steps = checkpoint.config.inner_loop.steps if options.steps is None else options.steps
        return Session(
            id=new_session_id(),
            identity=checkpoint.identity,
            labels=names,
            image_counts=tuple(labels.count(name) for name in names),
            steps=steps,
            adapted=adapted,
            created_at=now,
            ttl_seconds=ttl,
            expires_at=now + ttl,
            ends_at=now + max(ttl, limits.max_lifetime_seconds),
        )


def _clean_labels(images: Sequence[LabelledImage]) -> tuple[list[str], list[Problem]]:
    """Labels in NFC and trimmed, with the problems of those that cannot be used."""
    cleaned, problems = [], []
    for image in images:
        label = unicodedata.normalize("NFC", image.label).strip()
        cleaned.append(label)
        if not 1 <= len(label) <= MAX_LABEL_LENGTH:
            message = f"expected a label of 1 to {MAX_LABEL_LENGTH} characters, got {len(label)}"
        elif any(unicodedata.category(character) in ("Cc", "Cs") for character in label):
            message = "expected a label without control characters and lone surrogates"
        else:
            continue
        problems.append(Problem("bad_label", message, image.field, image.index))
    return cleaned, problems


def _warnings(
    images: Sequence[LabelledImage],
    labels: Sequence[str],
    tensors: torch.Tensor,
    preprocessing: Drawing,
) -> tuple[Warned, ...]:
    found = []
    single = sorted({label for label in labels if labels.count(label) == 1})
    if single:
        found.append(
            Warned(
                "few_images",
                f"one image only of {_quoted(single)}: more drawings of a class make it safer",
            )
        )
    by_content: dict[bytes, set[str]] = {}
    for image, label in zip(images, labels, strict=True):
        by_content.setdefault(hashlib.sha256(image.content).digest(), set()).add(label)
    found.extend(
        Warned("same_image", f"the same image is labelled {_quoted(sorted(shared))}")
        for shared in by_content.values()
        if len(shared) > 1
    )
    return (*found, *_blank_warnings(images, tensors, preprocessing))


def _blank_warnings(
    images: Sequence[LabelledImage | QueryImage],
    tensors: torch.Tensor,
    preprocessing: Drawing,
) -> tuple[Warned, ...]:
    return tuple(
        Warned("blank_image", f"{image.field!r}[{image.index}] shows no drawing")
        for image, tensor in zip(images, tensors, strict=True)
        if preprocessing.is_blank(tensor)
    )


def _unlikeness(checkpoint: Checkpoint, tensors: torch.Tensor) -> float | None:
    """How unlike the training data a support set is, in units of the threshold."""
    calibration = checkpoint.config.calibration
    if calibration is None:
        return None
    return calibration.likeness.unlikeness(tensors) / calibration.likeness.threshold


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


def _quoted(labels: Sequence[str]) -> str:
    return ", ".join(repr(label) for label in labels)
