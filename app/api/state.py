"""What the routes need of the process; kept in the application's state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from ..service.service import Service
from .body import BodyLimits
from .metrics import Watched


@dataclass(frozen=True)
class AppState:
    """The service, how large what it is sent may be, and what is told of its load."""

    service: Service
    body_limits: BodyLimits
    watched: Watched


def entered(request: Request) -> tuple[AppState, str]:
    """The state and the calling tenant, as the gate knows it.

    Routes that read their bodies themselves leave FastAPI nothing to solve, which takes it longer.
    """
    state: AppState = request.app.state.inkling
    tenant: str = request.state.tenant
    return state, tenant


# Dependencies are coroutines: FastAPI would hand plain functions to a thread.
async def _state(request: Request) -> AppState:
    state: AppState = request.app.state.inkling
    return state


State = Annotated[AppState, Depends(_state)]


async def _tenant(
    request: Request, _shown_in_docs: Annotated[object, Security(HTTPBearer(auto_error=False))]
) -> str:
    tenant: str = request.state.tenant
    return tenant


Tenant = Annotated[str, Depends(_tenant)]
"""The tenant that calls."""
