"""Spans of requests, sent to an OpenTelemetry collector in the background.

A span a request with a child for each stage of its work. Attributes are method, route, status and
kind of problem: no ids, keys or labels. What cannot be sent is dropped, and no request waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ..errors import BadSetting

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter

STAGES = ("decode", "queue", "compute", "store")
"""In the order in which a call passes through them."""
TRACES_PATH = "/v1/traces"
WAITING_SPANS, SPANS_A_MESSAGE, MESSAGE_SECONDS = 4096, 512, 2.0
"""How many spans wait to be sent; further ones take the place of the oldest."""
SENDING_SECONDS, CLOSING_SECONDS = 5.0, 3.0
log = logging.getLogger("inkling")


class Spans:
    """Tells a collector of requests that were answered."""

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        told = Resource.create({"service.name": "inkling", "service.version": version("inkling")})
        self._provider = TracerProvider(resource=told, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=WAITING_SPANS,
                max_export_batch_size=SPANS_A_MESSAGE,
                schedule_delay_millis=1000 * MESSAGE_SECONDS,
            )
        )
        self._tracer = self._provider.get_tracer("inkling")

    def tell(
        self,
        scope: Mapping[str, Any],
        route: str,
        status: int,
        seconds: float,
        state: Mapping[str, Any],
    ) -> None:
        """Tell of a request that has just ended; ``state`` is its own. Raises nothing."""
        try:
            self._tell(scope, route, status, seconds, state)
        except Exception:
            log.exception("telling of a request")

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSING_SECONDS)

    def _tell(
        self,
        scope: Mapping[str, Any],
        route: str,
        status: int,
        seconds: float,
        state: Mapping[str, Any],
    ) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        ended = time.time_ns()
        began = ended - _nanoseconds(seconds)
        attributes = {
            "http.request.method": scope["method"],
            "http.route": route,
            "http.response.status_code": status,
        }
        if problem := state.get("problem"):
            attributes["error.type"] = problem
        span = self._tracer.start_span(
            f"{scope['method']} {route}",
            context=_parent(scope["headers"]),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=began,
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        if timing := state.get("timing"):
            within = set_span_in_context(span)
            lengths = [_nanoseconds(getattr(timing, stage)) for stage in STAGES]
            # Their lengths are measured; they are laid end to end before the answer.
            at = max(began, ended - sum(lengths))
            for stage, length in zip(STAGES, lengths, strict=True):
                self._tracer.start_span(stage, context=within, start_time=at).end(at + length)
                at += length
        span.end(ended)


def open_spans(endpoint: str | None) -> Spans | None:
    """Spans for a collector that takes OTLP over HTTP at a base address; None for none.

    Raises BadSetting where what it needs is not installed.
    """
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise BadSetting(
            "INKLING_OTLP_ENDPOINT: expected the extra `telemetry` to be installed (pip install "
            f"'inkling[telemetry]'), got {endpoint} without it"
        ) from None
    address = endpoint.rstrip("/") + TRACES_PATH
    return Spans(OTLPSpanExporter(endpoint=address, timeout=SENDING_SECONDS))


def _parent(headers: Iterable[tuple[bytes, bytes]]) -> Context | None:
    """The span of the caller, as its W3C `traceparent` names it."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    sent = [value.decode("latin-1") for name, value in headers if name == b"traceparent"]
    carrier = {"traceparent": sent[0]} if len(sent) == 1 else {}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
