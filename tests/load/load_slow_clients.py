"""Hundreds of slow uploads and a thousand idle connections, and what others notice of them."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..api.raw import form, request
from ..benchmarks.http.load_generator import LoadPlan, run_load
from .server import serving

UPLOADS, IDLE, FILES = 500, 1000, 4096
CLIENTS, SECONDS, MOST_LOST = 8, 10.0, 0.1


@pytest.fixture(autouse=True)
def _enough_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


def test_slow_uploads_and_idle_connections(
    tmp_path: Path, drawings: dict[str, list[bytes]]
) -> None:
    names = sorted(drawings)[:5]
    whole = request("/adapt", *form([(name, drawings[name][0]) for name in names]))
    with serving(tmp_path, INITIALIZATIONS="omniglot", MAX_CONNECTIONS=1000) as server:
        address = urlsplit(server.url)
        host, port = str(address.hostname), address.port or 80
        plan = LoadPlan(host, port, [[whole]] * CLIENTS, 20, SECONDS)
        alone = run_load(plan).throughput_per_s
        ended = threading.Event()
        with contextlib.ExitStack() as opened:
            idle = [
                opened.enter_context(socket.create_connection((host, port), timeout=10))
                for _ in range(IDLE)
            ]

            def trickle() -> None:
                slow: list[socket.socket] = []
                place = 0
                while not ended.is_set():
                    while len(slow) < UPLOADS:
                        connection = socket.create_connection((host, port), timeout=10)
                        connection.sendall(whole[:300])
                        slow.append(connection)
                    for connection in list(slow):
                        try:
                            connection.sendall(whole[300 + place : 301 + place])
                        except OSError:
                            connection.close()
                            slow.remove(connection)
                    place += 1
                    ended.wait(1)
                for connection in slow:
                    connection.close()

            trickling = threading.Thread(target=trickle)
            trickling.start()
            beside = run_load(plan).throughput_per_s
            ended.set()
            trickling.join()
            assert len(idle) == IDLE
        print(f"\nadapts {alone:.1f}/s alone, {beside:.1f}/s beside {UPLOADS} slow uploads")
        assert beside >= (1 - MOST_LOST) * alone
