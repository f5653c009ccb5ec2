"""Claims on a store that processes share, kept up for as long as they are held."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import AsyncIterator
from functools import partial

from ..errors import Unavailable
from ..sessions.store import Claims
from .storage import Storage

LEASE_SECONDS = 10.0
"""How long a claim outlives a process that crashes."""
LEAST_WAIT_SECONDS, MOST_WAIT_SECONDS = 0.02, 0.25

log = logging.getLogger("inkling")


class Leases:
    """Claims by name; where the process is alone, each is had at once and costs nothing."""

    def __init__(self, storage: Storage | None = None) -> None:
        """Without a storage, the process is alone."""
        self._storage = storage

    @contextlib.asynccontextmanager
    async def tried(self, name: str, value: str = "") -> AsyncIterator[str | None]:
        """Claim a name, with a value for others to see.

        Gives None, or the value of another process that holds it. Raises Unavailable.
        """
        shared = self._shared()
        if shared is None:
            yield None
            return
        token = f"{secrets.token_hex(8)} {value}"
        held = await self._claim(*shared, name, token)
        if held is not None:
            yield held.partition(" ")[2]
            return
        async with self._kept_up(*shared, name, token):
            yield None

    @contextlib.asynccontextmanager
    async def waited_for(self, name: str) -> AsyncIterator[None]:
        """Claim a name once no other process holds it. Raises Unavailable."""
        shared = self._shared()
        if shared is None:
            yield
            return
        token, wait = secrets.token_hex(8), LEAST_WAIT_SECONDS
        while await self._claim(*shared, name, token) is not None:
            await asyncio.sleep(random.uniform(0.5, 1) * wait)
            wait = min(2 * wait, MOST_WAIT_SECONDS)
        async with self._kept_up(*shared, name, token):
            yield

    def _shared(self) -> tuple[Storage, Claims] | None:
        claims = None if self._storage is None else self._storage.claims
        return None if self._storage is None or claims is None else (self._storage, claims)

    @staticmethod
    async def _claim(storage: Storage, claims: Claims, name: str, token: str) -> str | None:
        return await storage.run(partial(claims.claim, name, token, LEASE_SECONDS))

    @contextlib.asynccontextmanager
    async def _kept_up(
        self, storage: Storage, claims: Claims, name: str, token: str
    ) -> AsyncIterator[None]:
        renewing = asyncio.create_task(self._renew(storage, claims, name, token))
        try:
            yield
        finally:
            renewing.cancel()
            with contextlib.suppress(Unavailable):  # It ends by itself.
                await asyncio.shield(storage.run(partial(claims.release, name, token)))

    @staticmethod
    async def _renew(storage: Storage, claims: Claims, name: str, token: str) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            try:
                renewed = await storage.run(partial(claims.renew, name, token, LEASE_SECONDS))
            except Unavailable:
                continue
            if not renewed:
                # Whoever writes what another has written meanwhile is refused by the store.
                log.warning("a claim ran out while it was held")
                return
