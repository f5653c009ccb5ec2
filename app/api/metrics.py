"""What the process has done, for Prometheus to read."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from ..service.service import Service

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(service: Service) -> bytes:
    """All metrics in the text format, read as they stand. Raises Unavailable."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(service))
    return generate_latest(registry)


class _Collector:
    """Reads the figures of a service."""

    def __init__(self, service: Service) -> None:
        self._metrics = list(_metrics(service))

    def collect(self) -> Iterator[Metric]:
        """What was read."""
        yield from self._metrics


def _metrics(service: Service) -> Iterator[Metric]:
    usage, stats = service.sessions.usage(), service.engine.stats()
    calls = CounterMetricFamily("inkling_engine_calls", "Calls computed.", labels=["what"])
    batches = CounterMetricFamily(
        "inkling_engine_batches", "Pieces of work that computed them.", labels=["what"]
    )
    mean = GaugeMetricFamily(
        "inkling_engine_mean_batch_size", "Calls for each piece of work so far.", labels=["what"]
    )
    for task, done in sorted(stats.items()):
        calls.add_metric([task], done.jobs)
        batches.add_metric([task], done.batches)
        mean.add_metric([task], done.jobs / done.batches)
    yield from (calls, batches, mean)
    yield GaugeMetricFamily(
        "inkling_engine_waiting", "Calls that wait to be computed.", service.engine.waiting()
    )
    yield GaugeMetricFamily("inkling_sessions", "Sessions that are stored.", usage.sessions)
    yield GaugeMetricFamily(
        "inkling_sessions_stored_bytes", "What they take in the store.", usage.stored_bytes
    )
    yield GaugeMetricFamily(
        "inkling_sessions_cached_bytes", "What those at hand take.", usage.cached_bytes
    )
    info = InfoMetricFamily("inkling_initialization", "What is loaded, and what computes with it.")
    for name, handle in service.registry.by_name.items():
        executor = handle.executor.name
        info.add_metric([], {"name": name, "identity": handle.identity, "executor": executor})
    yield info
