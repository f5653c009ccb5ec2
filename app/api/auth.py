"""Who calls: API keys to tenants. A server without keys serves everybody as one tenant."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import BadSetting, TooManyKeysTried, UnknownApiKey
from ..key_file import digest_of, read_by_others, read_keys

EVERYBODY = ""
LOOK_SECONDS = 1.0
"""How often the file is looked at for changes."""
TRIES, TRIES_PER_SECOND = 30.0, 1.0
"""Calls without a good key that an address may make at once, and how fast it may make more."""
MOST_ADDRESSES = 10_000
Headers = Iterable[tuple[bytes, bytes]]
log = logging.getLogger("inkling")


class ApiKeys:
    """Knows the tenant of a request by its `Authorization: Bearer KEY`."""

    def __init__(self, path: Path | None, steady: Callable[[], float] = time.monotonic) -> None:
        """Read the keys of a file; None asks nobody.

        Raises BadSetting that names the line that is wrong, and never a key.
        """
        self._path, self._steady = path, steady
        self._looked_at = steady()
        self._state: tuple[int, ...] = ()
        self._tenants: dict[bytes, str] = {}
        self._tries = _Tries()
        if path is not None:
            self._read(path)
            if not self._tenants:
                raise BadSetting(f"{path}: expected lines of a tenant and a key, got none")

    @property
    def asked_for(self) -> bool:
        """Whether callers need a key."""
        return self._path is not None

    def tenant_of(self, headers: Headers, address: str) -> str:
        """The tenant of a request. Raises UnknownApiKey, and TooManyKeysTried."""
        if self._path is None:
            return EVERYBODY
        self._look(self._path)
        sent = next((value for name, value in headers if name == b"authorization"), b"")
        kind, _, key = sent.decode("latin-1").partition(" ")
        # A hash tells nothing by the time that looking it up takes.
        tenant = self._tenants.get(digest_of(key.strip()))
        if kind.lower() != "bearer" or tenant is None:
            self._tries.count(address, self._steady())
            raise UnknownApiKey(sent=bool(kind))
        return tenant

    def _look(self, path: Path) -> None:
        """Read the file anew if it has changed; one that cannot be read changes nothing."""
        now = self._steady()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            if _state(path) != self._state:
                self._read(path)
                log.info("API keys read anew: %d", len(self._tenants))
        except (BadSetting, OSError) as broken:
            self._state = ()
            log.warning("API keys stay as they were: %s", broken)

    def _read(self, path: Path) -> None:
        entries = read_keys(path)
        self._tenants = {entry.digest: entry.tenant for entry in entries}
        self._state = _state(path)
        if any(entry.plain for entry in entries) and read_by_others(path):
            log.warning("%s: others may read keys in it that are not hashed (chmod go-r)", path)


class _Tries:
    """Calls without a good key, by address, in token buckets."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def count(self, address: str, now: float) -> None:
        """Count a call. Raises TooManyKeysTried."""
        left, since = self._left.pop(address, (TRIES, now))
        left = min(TRIES, left + (now - since) * TRIES_PER_SECOND)
        # The addresses that were heard of last are kept.
        self._left[address] = (max(left - 1, 0), now)
        if len(self._left) > MOST_ADDRESSES:
            del self._left[next(iter(self._left))]
        if left < 1:
            raise TooManyKeysTried(1 / TRIES_PER_SECOND)


def _state(path: Path) -> tuple[int, ...]:
    told = path.stat()
    return told.st_mtime_ns, told.st_size, told.st_ino
