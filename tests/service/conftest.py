"""A service over an engine that computes nothing, and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.engine.engine import Engine
from inkling.engine.executor import EagerExecutor
from inkling.engine.handle import Handle
from inkling.engine.work import Adaptation, Classification, Fold, Queries, SupportSet, Timing
from inkling.images.decode import decode
from inkling.images.fingerprints import fingerprints, unknown
from inkling.service.admission import Admission
from inkling.service.registry import Registry
from inkling.service.service import Service
from inkling.service.values import AdaptCall, AdaptOptions, Limits, SentImage
from inkling.sessions.memory_store import MemoryStore
from inkling.sessions.sessions import Sessions
from inkling.sessions.store import Bounds

Drawings = dict[str, list[bytes]]


class HandClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeEngine:
    """Answers at once: every image is taken for the class that ``guess`` says.

    While ``held`` it answers nothing; ``failure`` is what its jobs end with, ``fold_failure`` what
    those of a report do. ``fold_guesses`` gives other guesses for the images of a fold. It takes
    fingerprints while ``fingerprinting``.
    """

    device_name: str = "none"
    guess: int = 0
    held: bool = False
    fingerprinting: bool = False
    failure: Exception | None = None
    fold_failure: Exception | None = None
    fold_guesses: Callable[[Fold], torch.Tensor] | None = None
    folds: list[Fold] = field(default_factory=list)
    supports: list[SupportSet] = field(default_factory=list)
    jobs: list[Future[Any]] = field(default_factory=list)

    def adapt(
        self, handle: Handle, support: SupportSet, steps: int | None = None, _tenant: str = ""
    ) -> Future[Adaptation]:
        self.supports.append(support)
        count = len(support.labels) - (0 if support.kept is None else len(support.kept))
        kept = torch.arange(float(count)).reshape(-1, 1, 1, 1)
        head = {
            "head.weight": torch.zeros(support.n_way, 4),
            "head.bias": torch.zeros(support.n_way),
        }
        losses = (1.0,) * (1 + (handle.steps if steps is None else steps))
        guesses = (self.guess,) * len(support.labels)
        taken = unknown(count)
        if self.fingerprinting:
            sent = cast("Sequence[bytes]", support.images)
            taken = fingerprints([decode(content) for content in sent])
        return self._answer(Adaptation(head, losses, guesses, 1.0, (False,) * count, kept, taken))

    def predict(
        self, _handle: Handle, queries: Queries, _tenant: str = ""
    ) -> Future[Classification]:
        n_way, count = len(queries.image_counts), len(queries.images)
        row = [0.9 if place == self.guess else 0.1 / (n_way - 1) for place in range(n_way)]
        scores, blank = [(row, 0.5)] * count, [False] * count
        return self._answer(Classification(scores, blank, [0.0] * count, Timing()))

    def freeze(
        self, _handle: Handle, images: torch.Tensor, _tenant: str = ""
    ) -> Future[torch.Tensor]:
        return self._answer(images)

    def hold_out(
        self, _handle: Handle, fold: Fold, _steps: int | None = None, _tenant: str = ""
    ) -> Future[torch.Tensor]:
        if self.fold_failure is not None:
            raise self.fold_failure
        self.folds.append(fold)
        guesses = torch.full((len(fold.held_out),), self.guess)
        if self.fold_guesses is not None:
            guesses = self.fold_guesses(fold)
        return self._answer(3 * torch.nn.functional.one_hot(guesses, fold.n_way).float())

    def _answer(self, result: Any) -> Future[Any]:
        job: Future[Any] = Future()
        self.jobs.append(job)
        if self.failure is not None:
            job.set_exception(self.failure)
        elif not self.held:
            job.set_result(result)
        return job


@dataclass
class House:
    """A service with all that a test moves or looks at."""

    service: Service
    engine: FakeEngine
    store: MemoryStore
    clock: HandClock

    def run(self, use_case: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """A use case, on an event loop of its own."""
        return asyncio.run(use_case(self.service, *arguments, **options))


@pytest.fixture
def open_house(checkpoint: Checkpoint) -> Iterator[Callable[..., House]]:
    """Makes a house with some limits."""
    houses: list[House] = []

    def opened(**limits: Any) -> House:
        engine, store, clock = FakeEngine(), MemoryStore(Bounds(10**9, 10)), HandClock()
        handle = Handle(
            checkpoint,
            EagerExecutor(checkpoint.network, checkpoint.initialization),
            checkpoint.scoring,
            checkpoint.initialization.views,
        )
        sessions = Sessions(store, cache_bytes=10**9, clock=clock)
        service = Service.of(
            Registry([handle]),
            cast("Engine", engine),
            sessions,
            Admission(128),
            Limits(**limits),
            clock,
        )
        houses.append(House(service, engine, store, clock))
        return houses[-1]

    yield opened
    for house in houses:
        house.service.close()


@pytest.fixture
def house(open_house: Callable[..., House]) -> House:
    """A house with the usual limits."""
    return open_house()


@pytest.fixture
def call(drawings: Drawings) -> Callable[..., AdaptCall]:
    """A support set of some labels, so many drawings of each."""

    def made(labels: Sequence[str] = ("a", "b"), number: int = 2, **options: Any) -> AdaptCall:
        keyed = options.pop("keyed", None)
        images = [
            SentImage(content, label, place, label)
            for label, contents in zip(labels, drawings.values(), strict=False)
            for place, content in enumerate(contents[:number])
        ]
        return AdaptCall(images, AdaptOptions(**options), keyed=keyed)

    return made
