"""What the routes need of the process; kept in the application's state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from ..errors import Unavailable
from ..service.service import Service
from .auth import ApiKeys
from .body import BodyLimits

RETRY_AFTER_SECONDS = 1.0


class Admission:
    """Counts the calls that are worked on at once."""

    def __init__(self, max_calls: int) -> None:
        self._max_calls, self._calls = max_calls, 0

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a call in before its body is read; raises Unavailable when there are too many."""
        if self._calls >= self._max_calls:
            raise Unavailable(f"{self._max_calls} calls are being worked on", RETRY_AFTER_SECONDS)
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1


@dataclass(frozen=True)
class AppState:
    """The service, who may call it, and how much at once."""

    service: Service
    api_keys: ApiKeys
    body_limits: BodyLimits
    admission: Admission


def entered(request: Request) -> tuple[AppState, str]:
    """The state and the calling tenant, before a body is read. Raises UnknownApiKey.

    Routes that read their bodies themselves leave FastAPI nothing to solve, which takes it longer.
    """
    state: AppState = request.app.state.inkling
    return state, state.api_keys.tenant_of(request)


# Dependencies are coroutines: FastAPI would hand plain functions to a thread.
async def _state(request: Request) -> AppState:
    state: AppState = request.app.state.inkling
    return state


State = Annotated[AppState, Depends(_state)]


async def _tenant(
    request: Request,
    state: State,
    _shown_in_docs: Annotated[object, Security(HTTPBearer(auto_error=False))],
) -> str:
    return state.api_keys.tenant_of(request)


Tenant = Annotated[str, Depends(_tenant)]
"""The tenant that calls."""
