"""Who may come in, before a body is read: keys, bounds on calls, bodies within bounds.

Plain ASGI below the framework, so that a refusal under overload costs little. A call is counted in
when its body is whole.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import InklingError, Unavailable
from ..service.admission import RETRY_AFTER_SECONDS, Admission
from .auth import ApiKeys
from .paths import route_path
from .problems import problem_answer
from .turns import Turns
from .uploads import Upload, Uploads

KEYED = ("/adapt", "/predict", "/sessions", "/initializations", "/metrics")
"""Paths, and what lies below them, that ask for a key."""
WORKED_ON = ("/adapt", "/predict", "/support", "/evaluate", "/report", "/sessions")
"""How the paths of POSTs end that are counted."""


class Gate:
    """Puts the tenant into the request's state, and bounds what is worked on."""

    def __init__(
        self,
        app: ASGIApp,
        keys: ApiKeys,
        admission: Admission,
        uploads: Uploads,
        turns: Turns,
        has_room: Callable[[str], bool],
    ) -> None:
        """``has_room`` tells whether the engine would take a further job of a tenant."""
        self._app, self._keys = app, keys
        self._admission, self._uploads, self._has_room = admission, uploads, has_room
        self._turns = turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = route_path(scope)
        if not path.startswith(KEYED):
            await self._app(scope, receive, send)
            return
        address = scope["client"][0] if scope.get("client") else ""
        try:
            tenant = self._keys.tenant_of(scope["headers"], address)
            worked_on = _is_work(scope["method"], path)
            if worked_on:
                self._admission.check(tenant)
                if not self._has_room(tenant):
                    raise Unavailable("the queue is full", RETRY_AFTER_SECONDS)
        except InklingError as refused:
            await problem_answer(scope, refused)(scope, receive, send)
            return
        scope["state"]["tenant"] = tenant
        if not worked_on:
            await self._app(scope, receive, send)
            return
        await self._turns.wait(tenant or address)
        call = _Call(tenant, self._admission, self._uploads.begin(tenant or address, receive))
        try:
            await self._app(scope, call.receive, send)
        finally:
            call.end()


def _is_work(method: str, path: str) -> bool:
    """Whether a call is for the engine or takes the store long, so that it is counted."""
    if method == "POST":
        return path.endswith(WORKED_ON)
    return (method == "DELETE" and "/support/" in path) or (
        method == "GET" and path.endswith("/export")
    )


class _Call:
    """A call that is counted in as soon as its body is whole."""

    def __init__(self, tenant: str, admission: Admission, upload: Upload) -> None:
        self._tenant, self._admission, self._upload = tenant, admission, upload
        self._entered = False

    async def receive(self) -> Message:
        """The next part of the body. Raises SlowBody, Unavailable and TenantLimit."""
        message = await self._upload.receive()
        if self._upload.arrived and not self._entered:
            self._admission.enter(self._tenant)
            self._entered = True
        return message

    def end(self) -> None:
        """The call is answered."""
        self._upload.end()
        if self._entered:
            self._admission.leave(self._tenant)
