"""Servers in processes of their own, held still while another one is measured."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..comparison import THIS, python_of

HOST = "127.0.0.1"
Json = dict[str, Any]
START_SECONDS, STOP_SECONDS, POLL_SECONDS = 180.0, 15.0, 0.05
STARTED = "Application startup complete"
"""What uvicorn logs, once in each of its processes."""
LOG_LINES_SHOWN = 30


class ServerFailed(Exception):
    """A server that did not start, or refused a call that it has to answer."""


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
    return port


class Server:
    """A running server with all its child processes, which share a process group."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        port: int,
        probe: str,
        uvicorn_processes: int = 1,
        tree: Path = THIS,
    ) -> None:
        """Start ``command``, a Python module with arguments; `wait` until it is ready.

        It is ready when all its uvicorn processes say so and GET ``probe`` is answered.
        """
        self.port = port
        self._probe, self._uvicorn_processes, self._log = probe, uvicorn_processes, log
        # Whoever measures may have settings of Inkling of their own: they are not measured.
        plain = {name: text for name, text in os.environ.items() if not name.startswith("INKLING_")}
        with log.open("wb") as written:
            self._process = subprocess.Popen(
                [str(python_of(tree)), "-m", *command],
                env={**plain, **environment},
                stdout=written,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=tree,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return once it is ready. Raises ServerFailed when it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                lines = self._log.read_text(errors="replace").splitlines()
                raise ServerFailed("\n".join(lines[-LOG_LINES_SHOWN:]) or "it said nothing")
            time.sleep(POLL_SECONDS)

    def _ready(self) -> bool:
        if self._log.read_text(errors="replace").count(STARTED) < self._uvicorn_processes:
            return False
        try:
            self.send(f"GET {self._probe} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        except (OSError, ServerFailed):
            return False
        return True

    def send(self, raw: bytes) -> bytes:
        """The body of the answer to one raw request. Raises ServerFailed if it is not 2xx."""
        with socket.create_connection((HOST, self.port)) as connection:
            connection.sendall(raw)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            body = answer.read()
        if answer.status >= http.client.MULTIPLE_CHOICES:
            raise ServerFailed(f"{answer.status}: {body.decode(errors='replace')[:500]}")
        return body

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run for a while, if it was held still."""
        os.killpg(self._process.pid, signal.SIGCONT)
        try:
            yield
        finally:
            self.hold()

    def hold(self) -> None:
        """Stop it from using any processor time, connections and memory staying as they are."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def stop(self) -> None:
        """End it and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGCONT)
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # Children that outlived their parent are still in its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


@contextlib.contextmanager
def busy_neighbour() -> Iterator[None]:
    """One other process that never sleeps."""
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        spinning.kill()
        spinning.wait()
