"""What the process has done, for Prometheus to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from ..engine.queue import BatchStats
from ..service.admission import Admission
from ..service.service import Service
from .connection import Connections
from .uploads import Uploads

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
STAGES = ("queue", "decode", "compute", "store")


class RequestMetrics:
    """Counts answers as they are given."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        self._answers = Counter(
            "inkling_requests",
            "Answers that were given.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._refusals = Counter(
            "inkling_refusals",
            "Requests that were refused, by the kind of problem.",
            ["problem"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "inkling_request_seconds",
            "From a request's head to its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "inkling_stage_seconds",
            "Where the time of calls that were answered went.",
            ["route", "stage"],
            buckets=SECONDS,
            registry=self.registry,
        )

    def observe(
        self, method: str, route: str, status: int, seconds: float, state: Mapping[str, Any]
    ) -> None:
        """Count an answer; ``state`` is its request's."""
        self._answers.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if problem := state.get("problem"):
            self._refusals.labels(problem).inc()
        if timing := state.get("timing"):
            for stage in STAGES:
                self._stages.labels(route, stage).observe(getattr(timing, stage))


@dataclass(frozen=True)
class Watched:
    """What is read when the metrics are asked for."""

    service: Service
    requests: RequestMetrics
    admission: Admission
    uploads: Uploads
    connections: Connections


def metrics_text(watched: Watched) -> bytes:
    """All metrics in the text format, read as they stand. Raises Unavailable."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(watched))
    return generate_latest(watched.requests.registry) + generate_latest(registry)


class _Collector:
    """Reads the figures of a service."""

    def __init__(self, watched: Watched) -> None:
        self._metrics = [*_engine(watched.service), *_sessions(watched.service), *_load(watched)]

    def collect(self) -> Iterator[Metric]:
        """What was read."""
        yield from self._metrics


def _engine(service: Service) -> Iterator[Metric]:
    calls = CounterMetricFamily("inkling_engine_calls", "Calls computed.", labels=["what"])
    batches = CounterMetricFamily(
        "inkling_engine_batches", "Pieces of work that computed them.", labels=["what"]
    )
    mean = GaugeMetricFamily(
        "inkling_engine_mean_batch_size", "Calls for each piece of work so far.", labels=["what"]
    )
    sizes = HistogramMetricFamily(
        "inkling_engine_batch_size", "Calls of one piece of work.", labels=["what"]
    )
    for task, done in sorted(service.engine.stats().items()):
        calls.add_metric([task], done.jobs)
        batches.add_metric([task], done.batches)
        mean.add_metric([task], done.jobs / done.batches)
        sizes.add_metric([task], _buckets(done), done.jobs)
    yield from (calls, batches, mean, sizes)
    yield GaugeMetricFamily(
        "inkling_engine_waiting", "Calls that wait to be computed.", service.engine.waiting()
    )
    info = InfoMetricFamily("inkling_initialization", "What is loaded, and what computes with it.")
    for name, handle in service.registry.by_name.items():
        executor = handle.executor.name
        info.add_metric([], {"name": name, "identity": handle.identity, "executor": executor})
    yield info


def _buckets(done: BatchStats) -> list[tuple[str, float]]:
    below = [
        (str(most), sum(n for size, n in done.sizes.items() if size <= most))
        for most in BATCH_SIZES
    ]
    return [*below, ("+Inf", done.batches)]


def _sessions(service: Service) -> Iterator[Metric]:
    usage = service.sessions.usage()
    yield GaugeMetricFamily("inkling_sessions", "Sessions that are stored.", usage.sessions)
    yield GaugeMetricFamily(
        "inkling_sessions_stored_bytes", "What they take in the store.", usage.stored_bytes
    )
    yield GaugeMetricFamily(
        "inkling_sessions_cached_bytes", "What those at hand take.", usage.cached_bytes
    )
    yield CounterMetricFamily(
        "inkling_sweeps", "Sweeps that deleted what had ended.", service.sessions.n_sweeps
    )
    yield GaugeMetricFamily(
        "inkling_unswept_seconds", "Since the last of them.", service.sessions.unswept_seconds()
    )


def _load(watched: Watched) -> Iterator[Metric]:
    yield GaugeMetricFamily("inkling_calls", "Calls that are worked on.", watched.admission.n_calls)
    yield GaugeMetricFamily(
        "inkling_bytes_in_flight", "Of bodies that are held.", watched.uploads.n_bytes
    )
    yield GaugeMetricFamily("inkling_connections", "Open connections.", len(watched.connections))
    yield CounterMetricFamily(
        "inkling_connections_given_up",
        "Connections that found no room, or gave theirs to another.",
        watched.connections.refused,
    )
    heads = CounterMetricFamily(
        "inkling_refused_heads",
        "Refusals of what never became a request, by the kind of problem.",
        labels=["problem"],
    )
    for problem, n_refused in sorted(watched.connections.problems.items()):
        heads.add_metric([problem], n_refused)
    yield heads
    yield CounterMetricFamily(
        "inkling_shed_calls",
        "Calls refused under overload by their heads.",
        watched.connections.shed,
    )
