"""What every answer has: a request id, no caching, and one line in the log."""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
PROBES = tuple(
    prefix + name for prefix in ("", "/v1") for name in ("/livez", "/readyz", "/metrics")
)
log = logging.getLogger("inkling.requests")


class RequestContext:
    """Gives each request an id, the caller's own if it is a plain one, and logs its answer.

    The log line has method, path, status, milliseconds and id; never contents, and no session
    ids, which are secrets: they are cut out of paths. Health checks that go well are logged at
    DEBUG.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

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
                headers["Cache-Control"] = "no-store"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, finish)
        finally:
            log.log(
                logging.DEBUG if scope["path"] in PROBES and status == 200 else logging.INFO,
                "%s %s %d %.1fms %s",
                scope["method"],
                _without_secrets(scope["path"]),
                status,
                (time.perf_counter() - began) * 1000,
                request_id,
            )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and ACCEPTED_REQUEST_ID.fullmatch(value.decode("latin-1")):
            return str(value.decode("latin-1"))
    return secrets.token_hex(8)


def _without_secrets(path: str) -> str:
    return re.sub(r"^((?:/+v1)?/+sessions)/+.+", r"\1/...", path.encode("unicode_escape").decode())
