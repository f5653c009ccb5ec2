"""Contestants in processes of their own, so that none runs under another one's settings."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import load_checkpoint
from inkling.engine.device import available_cores
from inkling.engine.engine import Engine
from inkling.engine.executor import EagerExecutor
from inkling.engine.work import Classification, Queries
from inkling.meta import head
from inkling.meta.episode import Support
from inkling.meta.params import Params, n_bytes
from threadpoolctl import threadpool_limits

from .cases import Case, case_of, prepared, support_set
from .floor import kernels_of, peaks
from .opponents import Higher, Learn2Learn, plain_of

Job = Literal["adapt", "predict 1", "predict 32"]
WARM_UP = 2
CORES = available_cores()


class Contestant(Protocol):
    """Something that adapts and predicts."""

    def adapt(self, support: Support) -> Any:
        """Run the inner loop."""
        ...

    def predict(self, adapted: Any, queries: torch.Tensor) -> Any:
        """`(query, n_way)` logits, but for a constant in each row; of Inkling a Classification."""
        ...


class Inkling:
    """The engine as a server runs it, with one initialization."""

    def __init__(self, case: Case) -> None:
        checkpoint = replace(
            load_checkpoint(find_checkpoint("omniglot")),
            network=case.model.network,
            initialization=case.model.initialization,
        )
        self._engine = Engine(device=torch.device("cpu"), workers=CORES, queue_limit=1000)
        self._handle = self._engine.load(checkpoint)
        # Not `Engine.warm_up`: the checkpoint prepares images for another network than the case's.
        self._handle.executor.warm_up()

    def adapt(self, support: Support) -> Params:
        """`Engine.adapt`."""
        return self._engine.adapt(self._handle, support_set(support)).result().adapted

    def predict(self, adapted: Params, queries: torch.Tensor) -> Classification:
        """`Engine.predict`, which besides calibrates and scores."""
        counts = (1,) * len(adapted[head.BIAS])
        return self._engine.predict(
            self._handle, Queries(prepared(queries), adapted, counts)
        ).result()

    def logits(self, classification: Classification) -> torch.Tensor:
        """`(query, n_way)` logits, but for a constant in each row."""
        rows = torch.tensor([probabilities for probabilities, _ in classification.scores])
        return rows.log() * self._handle.scoring.temperature


class Eager:
    """`inkling.meta` itself."""

    def __init__(self, case: Case) -> None:
        self._definition = EagerExecutor(case.model.network, case.model.initialization)
        self._views = case.model.initialization.views
        self._query_views = case.model.initialization.query_views()
        self._steps = case.model.initialization.inner_loop.steps

    @torch.no_grad()
    def adapt(self, support: Support) -> Any:
        """`meta.inner_loop.trajectory`."""
        frozen = replace(
            support, images=self._definition.frozen_features(support.images, self._views)
        )
        return self._definition.adapt([frozen], self._steps)[0].adapted

    @torch.no_grad()
    def predict(self, adapted: Any, queries: torch.Tensor) -> torch.Tensor:
        """`meta.inner_loop.logits`."""
        frozen = self._definition.frozen_features(queries, self._query_views)
        return self._definition.logits([adapted], [frozen])[0]


class Compiled(Eager):
    """`inkling.meta`, compiled by `torch.compile` for each shape: needs a C++ compiler."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._compiled_adapt = torch.compile(self._adapted, fullgraph=True, dynamic=False)
        self._compiled_predict = torch.compile(super().predict, fullgraph=True, dynamic=False)

    @torch.no_grad()
    def adapt(self, support: Support) -> Any:
        """The whole inner loop as one graph."""
        return self._compiled_adapt(support.images, support.labels, support.n_way)

    @torch.no_grad()
    def predict(self, adapted: Any, queries: torch.Tensor) -> torch.Tensor:
        """The same for queries."""
        logits: torch.Tensor = self._compiled_predict(adapted, queries)
        return logits

    def _adapted(self, images: torch.Tensor, labels: torch.Tensor, n_way: int) -> Params:
        frozen = self._definition.frozen_features(images, self._views)
        return self._definition.run(Support(frozen, labels, n_way), self._steps)[0]


@dataclass(frozen=True)
class Setting:
    """A contestant and the intra-op threads that it runs with."""

    contestant: str
    threads: int


@dataclass(frozen=True)
class Trees:
    """Source trees of other libraries, where they were given."""

    learn2learn: Path | None
    higher: Path | None


def build(name: str, case: Case, trees: Trees) -> Contestant:
    """A contestant for a case. Raises ValueError for one that cannot be built."""
    if name == "inkling":
        return Inkling(case)
    if name == "inkling-eager":
        return Eager(case)
    if name == "compiled":
        return Compiled(case)
    if name in ("plain", "plain-channels-last"):
        return plain_of(case, channels_last=name != "plain")
    if name == "learn2learn" and trees.learn2learn is not None:
        return Learn2Learn(case, trees.learn2learn)
    if name == "higher" and trees.higher is not None:
        return Higher(case, trees.higher)
    raise ValueError(f"expected a contestant that can be built, got {name!r}")


class Remote:
    """A process that runs one contestant."""

    def __init__(self, name: str, trees: Trees) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, name, trees), daemon=True)
        self._process.start()

    def ask(self, what: str, *arguments: Any) -> Any:
        """Have one of the process's answers. Raises what it raised there."""
        self._pipe.send((what, arguments))
        answer = self._pipe.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stop(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()


def _serve(pipe: Connection, name: str, trees: Trees) -> None:
    answering = Answering(name, trees)
    while (question := pipe.recv()) is not None:
        what, arguments = question
        try:
            pipe.send(getattr(answering, what)(*arguments))
        except Exception as failure:  # noqa: BLE001 - raised where it was asked for
            pipe.send(RuntimeError(f"{name}: {type(failure).__name__}: {failure}"))


class Answering:
    """What a process can be asked."""

    def __init__(self, name: str, trees: Trees) -> None:
        self._name, self._trees = name, trees
        self._built: dict[tuple[str, int], Contestant] = {}

    def seconds(self, model: str, shot: int, job: Job, threads: int, times: int) -> list[float]:
        """How long a job took, one call after another."""
        run = self._job(case_of(model, shot), job)
        self._use(threads)
        return self._timed(run, times)

    def per_second(
        self, model: str, shot: int, job: Job, threads: int, callers: int, seconds: float
    ) -> float:
        """Calls a second, by so many callers at once."""
        run = self._job(case_of(model, shot), job)
        self._use(threads)
        run()
        # An engine takes them all in; others are called by a pool as wide as the machine.
        width = callers if self._name == "inkling" else min(callers, max(1, CORES // threads))
        ends = time.perf_counter() + seconds

        def call(_: int) -> int:
            self._use(threads)
            done = 0
            while time.perf_counter() < ends:
                run()
                done += 1
            return done

        began = time.perf_counter()
        with ThreadPoolExecutor(width) as pool:
            done = sum(pool.map(call, range(width)))
        return done / (time.perf_counter() - began)

    def scores(self, model: str, shot: int) -> torch.Tensor:
        """`(query, n_way)` probabilities of 32 queries."""
        torch.set_num_threads(1)
        case = case_of(model, shot)
        contestant = self._contestant(case)
        predicted = contestant.predict(contestant.adapt(case.support()), case.queries(32))
        logits = contestant.logits(predicted) if isinstance(contestant, Inkling) else predicted
        probabilities: torch.Tensor = logits.detach().softmax(1)
        return probabilities

    def session_bytes(self, model: str, shot: int) -> int:
        """The bytes of what one session adapted."""
        case = case_of(model, shot)
        adapted = self._contestant(case).adapt(case.support())
        if isinstance(adapted, torch.nn.Module):
            return sum(t.numel() * t.element_size() for t in adapted.parameters())
        return n_bytes(adapted)

    def kernels(self, model: str, shot: int, threads: int, times: int) -> list[float]:
        """Seconds of an adaptation's convolutions alone."""
        torch.set_num_threads(threads)
        return self._timed(kernels_of(case_of(model, shot)), times)

    @torch.no_grad()
    def peaks(self, threads: int, times: int) -> dict[str, float]:
        """The most operations a second of each library."""
        torch.set_num_threads(threads)
        with threadpool_limits(threads, user_api="blas"):
            return {
                library: operations / min(self._timed(run, times))
                for library, (run, operations) in peaks().items()
            }

    def _timed(self, run: Callable[[], Any], times: int) -> list[float]:
        for _ in range(WARM_UP):
            run()
        took = []
        for _ in range(times):
            began = time.perf_counter()
            run()
            took.append(time.perf_counter() - began)
        return took

    def _use(self, threads: int) -> None:
        if self._name != "inkling":
            torch.set_num_threads(threads)

    def _job(self, case: Case, job: Job) -> Callable[[], Any]:
        contestant, support = self._contestant(case), case.support()
        if job == "adapt":
            return lambda: contestant.adapt(support)
        adapted, queries = contestant.adapt(support), case.queries(int(job.split()[1]))
        return lambda: contestant.predict(adapted, queries)

    def _contestant(self, case: Case) -> Contestant:
        key = (case.model.name, case.shot)
        if key not in self._built:
            self._built[key] = build(self._name, case, self._trees)
        return self._built[key]


def names(trees: Trees, *, compiled: bool) -> Sequence[str]:
    """The contestants that can be built; compiled code only where it is asked for."""
    given = [("learn2learn", trees.learn2learn), ("higher", trees.higher)]
    return [
        "inkling",
        "inkling-eager",
        "plain",
        "plain-channels-last",
        *(["compiled"] if compiled else []),
        *(name for name, tree in given if tree is not None),
    ]
