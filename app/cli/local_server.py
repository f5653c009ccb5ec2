"""A server in a thread of this process, on a free port of the loopback address."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from ..errors import ServerUnreachable

START_SECONDS = 300


class _Server(uvicorn.Server):
    """A server that tells when it is up, or has failed to come up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()


@contextlib.contextmanager
def local_server(app: ASGIApp) -> Iterator[str]:
    """Serve an application while the context lasts; gives the base URL.

    Raises ServerUnreachable when the application does not start.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = _Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listening]}, name="inkling-server"
        )
        thread.start()
        try:
            if not server.settled.wait(START_SECONDS) or not server.started:
                raise ServerUnreachable("the server did not start; its log says why")
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
