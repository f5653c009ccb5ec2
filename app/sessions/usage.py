"""How much of a store its tenants take, held against how much they may."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ..errors import TenantLimit, Unavailable
from .store import STORE_RETRY_SECONDS, Bounds


class Usage:
    """Sessions of each tenant and their bytes; every method may be called from any thread."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._of: dict[str, tuple[int, int]] = {}
        self._sessions = self._bytes = 0

    def count_anew(self, tenants: Iterable[tuple[str, int, int]]) -> None:
        """Forget everything for what each tenant has: its name, sessions and bytes."""
        with self._lock:
            self._of = {tenant: (sessions, n_bytes) for tenant, sessions, n_bytes in tenants}
            self._sessions = sum(sessions for sessions, _ in self._of.values())
            self._bytes = sum(n_bytes for _, n_bytes in self._of.values())

    def grow(self, tenant: str, sessions: int, n_bytes: int) -> None:
        """Count so many more, or fewer, of a tenant."""
        with self._lock:
            own_sessions, own_bytes = self._of.get(tenant, (0, 0))
            own = own_sessions + sessions, own_bytes + n_bytes
            if any(own):
                self._of[tenant] = own
            else:
                self._of.pop(tenant, None)
            self._sessions += sessions
            self._bytes += n_bytes

    def total(self) -> tuple[int, int]:
        """The number of all sessions, and their bytes."""
        with self._lock:
            return self._sessions, self._bytes

    def check(self, tenant: str, sessions: int, n_bytes: int) -> None:
        """Raise TenantLimit or Unavailable where a tenant may not have so many more."""
        bounds = self._bounds
        with self._lock:
            own_sessions, own_bytes = self._of.get(tenant, (0, 0))
            n_sessions, taken = self._sessions, self._bytes
        if sessions > 0 and _exceeds(own_sessions + sessions, bounds.max_tenant_sessions):
            raise TenantLimit("sessions", bounds.max_tenant_sessions or 0, STORE_RETRY_SECONDS)
        if n_bytes > 0 and _exceeds(own_bytes + n_bytes, bounds.max_tenant_bytes):
            raise TenantLimit(
                "bytes of sessions", bounds.max_tenant_bytes or 0, STORE_RETRY_SECONDS
            )
        if n_bytes > 0 and taken + n_bytes > bounds.max_bytes:
            raise Unavailable(
                f"the session store is full: {n_sessions:,} sessions take "
                f"{taken:,} of {bounds.max_bytes:,} bytes",
                STORE_RETRY_SECONDS,
            )


def _exceeds(wanted: int, most: int | None) -> bool:
    return most is not None and wanted > most
