"""Sessions as their owners see them: one, all of them, and an end to one."""

from __future__ import annotations

from ..sessions.session import Page, Session
from .service import Service


def read_session(service: Service, session_id: str, *, tenant: str = "") -> Session:
    """A session whose initialization is loaded; this does not extend it.

    Raises SessionNotFound, InitializationNotLoaded and Unavailable.
    """
    session = service.sessions.read(session_id, tenant)
    service.registry.of(session)
    return session


def list_sessions(service: Service, *, tenant: str = "", limit: int, after: str | None) -> Page:
    """A tenant's sessions, the newest first. Raises InvalidInput for a bad cursor."""
    return service.sessions.page(tenant, limit=limit, after=after)


def delete_session(service: Service, session_id: str, *, tenant: str = "") -> None:
    """Delete a session and all it holds. Raises SessionNotFound and Unavailable."""
    service.sessions.delete(session_id, tenant)
