"""The owner of the device: what is adapted and predicted, by which executor, and together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import scipy.linalg  # noqa: F401 - whose products compiled loops use: loaded to be limited
import torch
from threadpoolctl import threadpool_limits

from ..checkpoints.checkpoint import Checkpoint
from ..errors import InnerLoopDiverged
from ..meta.episode import Support
from ..meta.params import Params, all_finite, copied_channels_last, mapped
from ..meta.placement import placed
from .allocator import keep_freed_memory
from .device import describe_device, use_exact_arithmetic
from .executor import Executor, Outcome
from .executors import executor_of
from .helper_pool import HelperPool
from .workers import Item, Kind, Result, Taken, Workers

QUERIES_AT_ONCE = 128


@dataclass(frozen=True)
class Adaptation:
    """What an inner loop made.

    ``adapted`` holds the tensors that differ from the initialization's, the head among them;
    ``losses`` the support loss before each step and after the last, in nats;
    ``support_predictions`` the class that each support image is taken for.
    """

    adapted: Params
    losses: tuple[float, ...]
    support_predictions: tuple[int, ...]
    support_accuracy: float
    queue_seconds: float
    compute_seconds: float


@dataclass(frozen=True)
class Classification:
    """``logits`` is `(query, n_way)` on the CPU."""

    logits: torch.Tensor
    queue_seconds: float
    compute_seconds: float


@dataclass(frozen=True)
class _Loaded:
    """An initialization that is served, and what computes with it."""

    checkpoint: Checkpoint
    executor: Executor
    views: torch.Tensor
    query_views: torch.Tensor

    @property
    def steps(self) -> int:
        """Of its inner loop, where a call asks for no other number."""
        return self.checkpoint.initialization.inner_loop.steps


@dataclass(frozen=True)
class _Query:
    """Images for a session's tensors, both on the device."""

    adapted: Params
    images: torch.Tensor


class Engine:
    """Runs the inner loop and predictions of the loaded checkpoints on one device."""

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        *,
        device: torch.device,
        workers: int,
        queue_limit: int,
    ) -> None:
        use_exact_arithmetic()
        self._device = device
        self.device_name = describe_device(self._device)
        threads = workers if self._device.type == "cpu" else 1
        # Those that compute, those that help, and torch's own.
        keep_freed_memory(3 * threads)
        # Each CPU thread computes alone: more in one operation collapse under contention.
        _compute_alone()
        threadpool_limits(1, user_api="blas")
        self._workers = Workers(threads, queue_limit, on_start=_compute_alone)
        self._helpers = HelperPool(threads - 1, self._workers.idle, on_start=_compute_alone)
        self._loaded = {checkpoint.identity: self._load(checkpoint) for checkpoint in checkpoints}

    @property
    def reads_as_it_computes(self) -> bool:
        """Whether images are best read by the threads that compute: they are on a CPU."""
        return self._device.type == "cpu"

    def executor_name(self, identity: str) -> str:
        """What computes for an initialization."""
        return self._loaded[identity].executor.name

    def warm_up(self) -> None:
        """Adapt and predict once for every initialization, so that no caller pays for it."""
        for identity, loaded in self._loaded.items():
            loaded.executor.warm_up()
            images = torch.zeros((2, *loaded.checkpoint.network.input_shape))
            support = Support(images, torch.tensor([0, 1]), 2)
            adaptation = self.adapt(identity, support, steps=None, deadline_seconds=math.inf)
            self.predict(identity, adaptation.adapted, images, deadline_seconds=math.inf)

    def adapt(
        self, identity: str, support: Support, *, steps: int | None, deadline_seconds: float
    ) -> Adaptation:
        """Run the inner loop of an initialization on a support set.

        Raises InnerLoopDiverged, Unavailable and DeadlineExceeded.
        """
        loaded = self._loaded[identity]
        wanted = loaded.steps if steps is None else steps
        executor = loaded.executor
        kind: Kind[Support, Adaptation] = Kind(
            "adapting",
            ("adapt", identity, wanted, support.n_way, executor.bucket(len(support.images))),
            lambda supports: self._adapt(loaded, supports, wanted),
            most=executor.most_adapted_together,
        )
        adaptation, waited = self._workers.run(kind, support, _bounded(deadline_seconds))
        return replace(adaptation, queue_seconds=waited)

    def predict(
        self, identity: str, adapted: Params, images: torch.Tensor, *, deadline_seconds: float
    ) -> Classification:
        """Classify `(query, channel, height, width)` images with the tensors of an Adaptation.

        Raises Unavailable and DeadlineExceeded.
        """
        loaded = self._loaded[identity]
        kind: Kind[_Query, tuple[torch.Tensor, float]] = Kind(
            "predicting",
            ("predict", identity),
            lambda queries: self._predict(loaded, queries),
            most=loaded.executor.most_predicted_together,
        )
        (found, seconds), waited = self._workers.run(
            kind, _Query(adapted, images), _bounded(deadline_seconds)
        )
        return Classification(found, waited, seconds)

    def adapt_here(
        self, identity: str, supports: Sequence[Support], *, steps: int | None
    ) -> list[Adaptation | BaseException]:
        """`adapt` for several support sets, on the calling thread: each one's, or what it raises.

        For work that was given to `submit`.
        """
        loaded = self._loaded[identity]
        return self._adapt(loaded, supports, loaded.steps if steps is None else steps)

    def submit(self, kind: Kind[Item, Result], item: Item) -> Future[tuple[Result, float]]:
        """Have work done that reads and computes, by the threads that compute on a CPU.

        It may call `adapt_here` and `predict_here`. Raises Unavailable when the queue is full.
        """
        return self._workers.submit(kind, item)

    @torch.no_grad()
    def predict_here(
        self,
        identity: str,
        adapted: Sequence[Params],
        images: torch.Tensor,
        counts: Sequence[int],
    ) -> list[torch.Tensor]:
        """The `(query, n_way)` logits of several sessions, on the calling thread.

        ``images`` are those of all of them, ``counts`` of each. For work that was given to
        `submit`.
        """
        loaded = self._loaded[identity]
        frozen = self._frozen_features(loaded, images, loaded.query_views)
        return loaded.executor.logits(adapted, torch.split(frozen, list(counts)))

    def frozen_features(
        self, identity: str, images: torch.Tensor, *, deadline_seconds: float
    ) -> torch.Tensor:
        """`(image, 1 + view, ...)` of images: what adaptations to any of them share.

        Raises Unavailable and DeadlineExceeded.
        """
        loaded = self._loaded[identity]

        def rest() -> torch.Tensor:
            with torch.no_grad():
                return self._frozen_features(loaded, images, loaded.views)

        return self._alone("preparing images", rest, deadline_seconds)

    def classify_others(
        self,
        identity: str,
        frozen: Support,
        others: torch.Tensor,
        *,
        steps: int | None,
        deadline_seconds: float,
    ) -> torch.Tensor:
        """Adapt to a support set and give the `(other, n_way)` logits of other images.

        Both are what `frozen_features` made of images. Raises InnerLoopDiverged, Unavailable and
        DeadlineExceeded.
        """
        loaded = self._loaded[identity]
        wanted = loaded.steps if steps is None else steps
        placed = replace(frozen, labels=frozen.labels.to(self._device))

        def classify() -> torch.Tensor:
            with torch.no_grad():
                outcome = loaded.executor.adapt([placed], wanted)[0]
                scores = loaded.executor.logits([outcome.adapted], [others])[0]
            if not bool(torch.isfinite(scores).all()):
                raise InnerLoopDiverged(wanted, float(outcome.losses[-1]))
            return scores.cpu()

        return self._alone("checking images", classify, deadline_seconds)

    def taken(self) -> dict[str, Taken]:
        """By what they do, the calls done so far and the pieces of work that did them."""
        return self._workers.taken()

    def waiting(self) -> int:
        """Calls that wait to be computed."""
        return self._workers.waiting()

    def close(self) -> None:
        """Finish what runs and stop."""
        self._workers.close()
        self._helpers.close()

    def _load(self, checkpoint: Checkpoint) -> _Loaded:
        initialization = placed(checkpoint.initialization, self._device)
        return _Loaded(
            checkpoint=checkpoint,
            executor=executor_of(checkpoint.network, initialization, self._device, self._helpers),
            views=initialization.views,
            query_views=initialization.query_views(),
        )

    def _alone(
        self, what: str, work: Callable[[], torch.Tensor], deadline_seconds: float
    ) -> torch.Tensor:
        """Do a piece of work that nothing else can be done with."""
        kind: Kind[None, torch.Tensor] = Kind(what, what, lambda _: [work()])
        return self._workers.run(kind, None, _bounded(deadline_seconds))[0]

    @torch.no_grad()
    def _frozen_features(
        self, loaded: _Loaded, images: torch.Tensor, views: torch.Tensor
    ) -> torch.Tensor:
        if len(images) <= QUERIES_AT_ONCE:
            return loaded.executor.frozen_features(self._placed(images), views)
        chunks = torch.split(images, QUERIES_AT_ONCE)
        found = [loaded.executor.frozen_features(self._placed(chunk), views) for chunk in chunks]
        return torch.cat(found)

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        """On the device; through pinned memory, which a GPU reads beside its work."""
        if self._device.type == "cpu" or tensor.is_cuda:
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)

    @torch.no_grad()
    def _adapt(
        self, loaded: _Loaded, supports: Sequence[Support], steps: int
    ) -> list[Adaptation | BaseException]:
        began = time.perf_counter()
        counts = [len(support.images) for support in supports]
        images = torch.cat([support.images for support in supports])
        frozen = [
            Support(rest, self._placed(support.labels), support.n_way)
            for rest, support in zip(
                torch.split(self._frozen_features(loaded, images, loaded.views), counts),
                supports,
                strict=True,
            )
        ]
        outcomes = loaded.executor.adapt(frozen, steps)
        found: list[Adaptation | BaseException] = []
        for outcome, support in zip(outcomes, supports, strict=True):
            try:
                found.append(_adaptation(outcome, support.labels, began))
            except InnerLoopDiverged as diverged:
                found.append(diverged)
        return found

    @torch.no_grad()
    def _predict(
        self, loaded: _Loaded, queries: Sequence[_Query]
    ) -> list[tuple[torch.Tensor, float]]:
        began = time.perf_counter()
        scores = self.predict_here(
            loaded.checkpoint.identity,
            [mapped(self._placed, query.adapted) for query in queries],
            torch.cat([query.images for query in queries]),
            [len(query.images) for query in queries],
        )
        found = [each.cpu() for each in scores]
        seconds = time.perf_counter() - began
        return [(each, seconds) for each in found]


def _adaptation(outcome: Outcome, labels: torch.Tensor, began: float) -> Adaptation:
    """An outcome as it is kept and told. Raises InnerLoopDiverged."""
    losses = outcome.losses.tolist()
    for number, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise InnerLoopDiverged(number, loss)
    # The format decides rounding: the same here and when a session is read from its store.
    adapted = copied_channels_last(outcome.adapted)
    if not all_finite(adapted):
        raise InnerLoopDiverged(len(losses) - 1, math.nan)
    predictions = outcome.scores.argmax(1).cpu()
    return Adaptation(
        adapted=adapted,
        losses=tuple(losses),
        support_predictions=tuple(predictions.tolist()),
        support_accuracy=float((predictions == labels).to(torch.float32).mean()),
        queue_seconds=0.0,
        compute_seconds=time.perf_counter() - began,
    )


def _compute_alone() -> None:
    torch.set_num_threads(1)


def _bounded(seconds: float) -> float:
    return min(seconds, 1e6)
