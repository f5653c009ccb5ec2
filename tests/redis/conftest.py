"""A Redis of its own for each test, and servers over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..load.traffic import Task, draw_task
from ..redis_server import MISSING, PROGRAM, RedisServer
from .proxy import Proxy
from .replicas import Replica, replica


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A running Redis, which the test may break."""
    if PROGRAM is None:
        pytest.skip(MISSING)
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def proxy(redis: RedisServer) -> Iterator[Proxy]:
    """A way to that Redis."""
    made = Proxy(redis.port)
    yield made
    made.close()


@pytest.fixture
def cached(proxy: Proxy) -> Iterator[Replica]:
    """A server that has sessions at hand."""
    with replica(proxy.url) as made:
        yield made


@pytest.fixture
def uncached(proxy: Proxy) -> Iterator[Replica]:
    """A server that has none at hand."""
    with replica(proxy.url, session_cache_bytes=0) as made:
        yield made


@pytest.fixture
def task(drawings: dict[str, list[bytes]]) -> Task:
    """A support set and a query."""
    return draw_task(drawings, 0)
