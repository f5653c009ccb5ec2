"""Keyed calls that are under way, sessions that are being added to, and what a call asks for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from ..errors import DeadlineExceeded, IdempotencyKeyInUse, IdempotencyKeyReused
from ..sessions.session import IdempotencyKey
from .values import AdaptOptions, LabelledImage


class RunningKeys:
    """The keys of calls under way, with their digests. A process that ends releases them all."""

    def __init__(self) -> None:
        self._digests: dict[IdempotencyKey, str] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def held(self, key: IdempotencyKey, digest: str) -> Iterator[None]:
        """Hold a key for as long as its call runs.

        Raises IdempotencyKeyInUse while the same call runs, IdempotencyKeyReused for another one.
        """
        with self._lock:
            other = self._digests.setdefault(key, digest)
            if other is not digest:
                if other == digest:
                    raise IdempotencyKeyInUse
                raise IdempotencyKeyReused
        try:
            yield
        finally:
            with self._lock:
                del self._digests[key]


class Turns:
    """Lets one call at a time work on a session's support set."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[threading.Lock, int]] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def of(self, session_id: str, seconds: float) -> Iterator[None]:
        """Wait for the calls before this one. Raises DeadlineExceeded after ``seconds``."""
        with self._lock:
            turn, count = self._waiting.get(session_id, (threading.Lock(), 0))
            self._waiting[session_id] = turn, count + 1
        try:
            if not turn.acquire(timeout=max(0.0, seconds)):
                raise DeadlineExceeded("waiting for other calls that add to the session", seconds)
            try:
                yield
            finally:
                turn.release()
        finally:
            with self._lock:
                turn, count = self._waiting.pop(session_id)
                if count > 1:
                    self._waiting[session_id] = turn, count - 1


def digest_of(images: Sequence[LabelledImage], labels: Sequence[str], options: AdaptOptions) -> str:
    """A sha256 over what a call asks for: options, labels and the bytes of the images."""
    asked = [
        asdict(options),
        [
            [label, hashlib.sha256(image.content).hexdigest()]
            for label, image in zip(labels, images, strict=True)
        ],
    ]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
