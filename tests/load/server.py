"""A server in a process of its own, which can be killed without warning."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 120
RUNNING = "Uvicorn running on"


class ServerProcess:
    """`inkling serve` on a port of its own, with sessions in ``folder``."""

    command: tuple[str, ...] = (sys.executable, "-m", "inkling", "serve")

    def __init__(self, folder: Path, **settings: object) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        chosen = {"SESSION_FOLDER": folder, "PORT": self._port, **settings}
        plain = {name: text for name, text in os.environ.items() if not name.startswith("INKLING_")}
        self._environment = plain | {
            f"INKLING_{name}": str(value) for name, value in chosen.items()
        }
        self._process: subprocess.Popen[str] | None = None
        self.log: list[str] = []

    def start(self) -> None:
        """Start and wait until it answers."""
        process = subprocess.Popen(
            self.command,
            env=self._environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        running = threading.Event()

        def watch() -> None:
            assert process.stderr is not None
            with process.stderr as lines:
                for line in lines:
                    self.log.append(line)
                    if RUNNING in line:
                        running.set()
            running.set()

        self._watcher = threading.Thread(target=watch, daemon=True)
        self._watcher.start()
        assert running.wait(START_SECONDS), "".join(self.log[-20:])
        assert process.poll() is None, "".join(self.log[-20:])
        self._process = process

    def kill(self) -> None:
        """End it as a power cut would: no signal handler runs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._ended()

    def stop(self) -> None:
        """End it as an operator would."""
        if self._process is not None:
            self._process.terminate()
            self._ended()

    def _ended(self) -> None:
        assert self._process is not None
        self._process.wait()
        self._watcher.join()
        self._process = None

    def resident_bytes(self) -> int:
        """Memory that the process holds (Linux)."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return 1024 * int(found[1])


@contextlib.contextmanager
def serving(folder: Path, **settings: object) -> Iterator[ServerProcess]:
    """A running server; it is stopped at the end."""
    server = ServerProcess(folder, **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
