"""What the use cases work with: one value, made once, when a server starts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..engine.engine import Engine
from ..sessions.clock import Clock
from ..sessions.keeper import SessionKeeper
from .admission import Admission
from .decoding import DecodingRoom
from .leases import Leases
from .registry import Registry
from .storage import Storage
from .under_way import InFlightKeys, SessionLocks
from .values import Limits


@dataclass(frozen=True)
class Service:
    """The initializations, the engine and the sessions of a server, and what calls may ask for.

    Its use cases run on one event loop.
    """

    registry: Registry
    engine: Engine
    sessions: SessionKeeper
    storage: Storage
    decoding: DecodingRoom
    admission: Admission
    limits: Limits
    clock: Clock
    in_flight: InFlightKeys
    locks: SessionLocks
    exporter: ThreadPoolExecutor
    """One thread, which writes ONNX files."""

    @staticmethod
    def of(
        registry: Registry,
        engine: Engine,
        sessions: SessionKeeper,
        admission: Admission,
        limits: Limits,
        clock: Clock,
    ) -> Service:
        """A service with threads of its own for decoding, for the store and for exports."""
        decoding = DecodingRoom(limits.concurrent_decodes, limits.image_memory_bytes)
        storage = Storage(sessions)
        leases = Leases(storage)
        return Service(
            *(registry, engine, sessions, storage, decoding, admission, limits, clock),
            InFlightKeys(leases),
            SessionLocks(leases),
            ThreadPoolExecutor(1, "inkling-export"),
        )

    def close(self) -> None:
        """Finish what runs beside the engine."""
        self.exporter.shutdown(cancel_futures=True)
        self.decoding.close()
        self.storage.close()
