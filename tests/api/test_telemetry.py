"""Spans: what a collector is told of requests, and that none waits for it."""

from __future__ import annotations

import builtins
import gzip
import queue
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from inkling.api.telemetry import open_spans
from inkling.cli.local_server import local_server
from inkling.errors import BadSetting
from inkling.key_file import add_key
from inkling.main import create_app
from inkling.settings import Settings, read_settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from .raw import form

Drawings = dict[str, list[bytes]]
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
LABEL = "a-label-that-nobody-is-told"


class Collector:
    """Takes OTLP over HTTP, and keeps the messages as they came."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                coded = self.headers.get("Content-Encoding") == "gzip"
                assert self.path == "/v1/traces"
                collector.messages.put(gzip.decompress(body) if coded else body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def received(self) -> tuple[list[Span], bytes]:
        """All spans that came so far, and their messages."""
        spans, raw = [], b""
        while not self.messages.empty():
            content = self.messages.get()
            raw += content
            for resource in ExportTraceServiceRequest.FromString(content).resource_spans:
                for scope in resource.scope_spans:
                    spans += scope.spans
        return spans, raw


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def settings(endpoint: str, **others: Any) -> Settings:
    return Settings(
        otlp_endpoint=endpoint,
        initializations=("omniglot",),
        session_store="memory",
        workers=1,
        **others,
    )


def attributes(span: Span) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, str(each.value.WhichOneof("value")))
        for each in span.attributes
    }


def test_a_call_is_told_with_its_stages_within_the_callers_trace(
    collector: Collector, drawings: Drawings, tmp_path: Path
) -> None:
    key = add_key(tmp_path / "keys", "acme")
    kind, body = form([(LABEL, drawings["Keble_01"][0]), ("b", drawings["Ge_ez_01"][0])])
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": kind.decode(),
        "Traceparent": f"00-{TRACE}-{CALLER}-01",
        "Tracestate": "vendor=of-the-caller",
    }
    app = create_app(settings(collector.url, api_keys_file=tmp_path / "keys"))
    with (
        local_server(app) as url,
        httpx.Client(base_url=url, trust_env=False, headers=headers) as http,
    ):
        made = http.post("/adapt", content=body)
        assert made.status_code == 201
        session_id = made.json()["session_id"]
        assert http.get(f"/sessions/{session_id}").status_code == 200
        assert http.get("/secret-place/of-mine").status_code == 404
        assert http.get("/readyz").status_code == 200
    spans, raw = collector.received()
    by_name = {span.name: span for span in spans}
    stages = {"decode", "queue", "compute", "store"}
    requests = {"POST /adapt", "GET /sessions/{session_id}", "GET unrouted"}
    assert by_name.keys() == stages | requests
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    adapt = by_name["POST /adapt"]
    assert adapt.parent_span_id.hex() == CALLER
    assert adapt.kind == Span.SPAN_KIND_SERVER
    assert attributes(adapt) == {
        "http.request.method": "POST",
        "http.route": "/adapt",
        "http.response.status_code": 201,
    }
    assert attributes(by_name["GET unrouted"])["error.type"] == "not-found"
    for stage in stages:
        child = by_name[stage]
        assert child.parent_span_id == adapt.span_id
        assert adapt.start_time_unix_nano <= child.start_time_unix_nano
        assert child.start_time_unix_nano <= child.end_time_unix_nano
        told = made.json()["timing"][f"{stage}_ms"]
        length = (child.end_time_unix_nano - child.start_time_unix_nano) / 1e6
        assert length == pytest.approx(told, abs=0.02)
    for secret in (key, LABEL, session_id, made.headers["x-request-id"], "secret", "caller"):
        assert secret.encode() not in raw


@pytest.mark.parametrize(
    "sent", [[], ["garbage"], [f"00-{TRACE}-{CALLER}-01"] * 2, ["00-" + "0" * 32 + "-1-01"]]
)
def test_what_names_no_caller_begins_a_trace(collector: Collector, sent: list[str]) -> None:
    spans = open_spans(collector.url)
    assert spans is not None
    headers = [(b"traceparent", value.encode()) for value in sent]
    spans.tell({"method": "GET", "headers": headers}, "/sessions", 500, 0.1, {})
    spans.close()
    (told,), _ = collector.received()
    assert told.parent_span_id == b""
    assert told.trace_id.hex() != TRACE
    assert told.status.code == 2


def test_a_caller_that_is_not_traced_is_not_told(collector: Collector) -> None:
    spans = open_spans(collector.url)
    assert spans is not None
    headers = [(b"traceparent", f"00-{TRACE}-{CALLER}-00".encode())]
    spans.tell({"method": "GET", "headers": headers}, "/sessions", 200, 0.1, {})
    spans.close()
    assert collector.received() == ([], b"")


def test_no_request_waits_for_a_collector_that_is_away() -> None:
    spans = open_spans("http://127.0.0.1:9")
    assert spans is not None
    began = time.monotonic()
    for _ in range(5_000):
        spans.tell({"method": "GET", "headers": []}, "/sessions", 200, 0.1, {})
    assert time.monotonic() - began < 20
    began = time.monotonic()
    spans.close()
    assert time.monotonic() - began < 10


def test_a_setting_without_what_it_needs_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_exporter(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("opentelemetry.exporter"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_exporter)
    with pytest.raises(BadSetting, match=r"pip install 'inkling\[telemetry\]'"):
        create_app(settings("http://127.0.0.1:4318"))


@pytest.mark.parametrize("address", ["127.0.0.1:4318", "ftp://a", "http://", "http://a?b", " "])
def test_an_endpoint_is_an_address(address: str) -> None:
    with pytest.raises(BadSetting, match=r"INKLING_OTLP_ENDPOINT: .*expected an address"):
        read_settings({}, otlp_endpoint=address)
