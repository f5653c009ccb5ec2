"""A real Redis in a process of its own, in a temporary folder, which tests may break."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
MISSING = "NOT RUN: needs redis-server or valkey-server on the path (apt-get install redis-server)"
START_SECONDS = 10.0


class RedisServer:
    """A server on a free port of its own, which it keeps when it starts again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder, self._options = folder, options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start it, with what it wrote to its disk before, and wait until it answers."""
        assert PROGRAM is not None
        plain = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder))
        writing = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        self._process = subprocess.Popen(
            [PROGRAM, *plain, *writing, *self._options, *options], stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < until
            assert self._process.poll() is None
            time.sleep(0.02)

    def ask(self, *words: str) -> bytes:
        """The answer to a command, as it comes over the wire."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            sent = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
            connection.sendall(f"*{len(words)}\r\n{sent}".encode())
            return connection.recv(65_536)

    def freeze(self) -> None:
        """Have it answer nothing, though its port takes connections."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """End `freeze`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without warning."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            return self.ask("PING") == b"+PONG\r\n"
        except OSError:
            return False


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
