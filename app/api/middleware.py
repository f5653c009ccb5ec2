"""What every answer has: a request id, a place in the metrics, a line in the log.

None is cached unless it says so itself.
"""

from __future__ import annotations

import re
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import RequestMetrics
from .paths import route_path
from .request_log import Line, RequestLog
from .telemetry import Spans

ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
PROBES = ("/livez", "/readyz", "/metrics")
UNROUTED = "unrouted"


class RequestContext:
    """Gives each request an id, the caller's own if it is a plain one, and tells of its answer.

    The log line has method, route, status, milliseconds and id; never contents, and no session
    ids, which are secrets: of a path that is no route's, the first word is told alone, where a
    route begins with it. Health checks that go well have neither line nor span.
    """

    def __init__(
        self, app: ASGIApp, metrics: RequestMetrics, lines: RequestLog, spans: Spans | None = None
    ) -> None:
        self._app, self._metrics, self._lines, self._spans = app, metrics, lines, spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.setdefault("Cache-Control", "no-store")
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, finish)
        finally:
            seconds = time.perf_counter() - began
            route = _route(scope)
            state = scope["state"]
            self._metrics.observe(scope["method"], route, status, seconds, state)
            if status != 200 or route_path(scope) not in PROBES:
                shown = _without_secrets(scope) if route == UNROUTED else route
                line = Line(scope["method"], shown, status, seconds, request_id, state)
                self._lines.write(line)
                if self._spans is not None:
                    self._spans.tell(scope, route, status, seconds, state)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and ACCEPTED_REQUEST_ID.fullmatch(value.decode("latin-1")):
            return str(value.decode("latin-1"))
    return secrets.token_hex(8)


def _route(scope: Scope) -> str:
    """The route's pattern, such as `/sessions/{session_id}`."""
    route = scope.get("route")
    return UNROUTED if route is None else str(route.path)


def _without_secrets(scope: Scope) -> str:
    """A path that is no route's; it may hold a label, an id or a key that slipped into it."""
    first, *more = route_path(scope).strip("/").split("/")
    known = {getattr(route, "path", "/").split("/")[1] for route in scope["app"].routes}
    shown = first if first in known else "..."
    return f"/{shown}/..." if more else f"/{shown}"
