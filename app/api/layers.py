"""What a request passes through before it reaches a route, the outermost layer first.

A trusted proxy's word on who calls; the path under which the server is published; an id, a line in
the log and a place in the metrics; web pages of other origins, let in or kept out; and the gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ..service.admission import Admission
from .auth import EVERYBODY, ApiKeys
from .connection import Connections
from .gate import Gate
from .metrics import RequestMetrics
from .middleware import RequestContext
from .origins import Names, OwnPages, Published
from .request_log import RequestLog
from .state import AppState
from .telemetry import Spans
from .turns import Turns
from .uploads import Uploads

EXPOSED_HEADERS = (
    "Content-Disposition",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "Server-Timing",
    "X-Request-Id",
)
"""What scripts of other origins may read, where these are allowed."""


@dataclass(frozen=True)
class Door:
    """Who may come in, and how much at once."""

    keys: ApiKeys
    admission: Admission
    uploads: Uploads
    connections: Connections
    requests: RequestMetrics


@dataclass(frozen=True)
class Surroundings:
    """Where a server is published, and who else may speak to it."""

    names: Names
    root_path: str = ""
    trusted_proxies: tuple[str, ...] = ()
    log_format: Literal["text", "json"] = "text"
    spans: Spans | None = None

    def close(self) -> None:
        """Send what is still to be told."""
        if self.spans is not None:
            self.spans.close()


def install_layers(app: FastAPI, door: Door, around: Surroundings) -> None:
    """Put the layers around an application's routes."""

    def has_room(tenant: str) -> bool:
        state: AppState = app.state.inkling
        return state.service.engine.has_room(tenant)

    turns = Turns()

    def overloaded(n_coming: int) -> bool:
        n_coming += len(turns)
        return door.admission.is_full(n_coming) or not (door.keys.asked_for or has_room(EVERYBODY))

    app.state.connections = door.connections
    if not around.names.origins:
        # Pages of other origins could not read an answer that passes by these layers.
        door.connections.overloaded = overloaded
    # The one that is added last has a request first.
    app.add_middleware(
        Gate,
        keys=door.keys,
        admission=door.admission,
        uploads=door.uploads,
        turns=turns,
        has_room=has_room,
    )
    if not door.keys.asked_for:
        app.add_middleware(OwnPages, names=around.names)
    if around.names.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=around.names.origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(
        RequestContext,
        metrics=door.requests,
        lines=RequestLog(around.log_format),
        spans=around.spans,
    )
    app.add_middleware(Published, root_path=around.root_path)
    if around.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(around.trusted_proxies))
