"""A server in a thread of this process, on a free port of the loopback address."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from ..errors import ServerUnreachable
from .listening import listening_socket, server_config

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
def local_server(app: FastAPI) -> Iterator[str]:
    """Serve an application while the context lasts; gives the base URL.

    Raises ServerUnreachable when the application does not start.
    """
    with listening_socket("127.0.0.1", 0) as listening:
        server = _Server(server_config(app, log_config=None))
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
