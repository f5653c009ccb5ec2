"""Where a server listens, and how its HTTP layer is set up."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from ..api.connection import Connections, connection_class
from ..errors import BadSetting
from ..settings import Settings

log = logging.getLogger("inkling")
BACKLOG = 2048
SHUTDOWN_SECONDS = 25
"""Calls that run get this long to end when the server is told to; Docker waits for 30."""
SPARE_FILES = 128
"""Files that are open besides connections: databases, libraries, images."""


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket bound to an address or name; `::` hears IPv4 too. Raises BadSetting."""
    with contextlib.ExitStack() as unless_bound:
        try:
            *_, (family, kind, protocol, _, address) = sorted(
                socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE),
                reverse=True,
            )
            listening = unless_bound.enter_context(socket.socket(family, kind, protocol))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6 and host == "::":
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listening.bind(address)
        except OSError as refused:
            raise BadSetting(f"cannot listen on {host} port {port}: {refused.strerror}") from None
        unless_bound.pop_all()
    return listening


def check_reach(settings: Settings) -> None:
    """Raise BadSetting where others than this machine could call a server that asks for no key."""
    keys_or_anybody = settings.api_keys_file is not None or settings.serve_anybody
    if not (keys_or_anybody or _is_loopback(settings.host)):
        raise BadSetting(
            f"INKLING_HOST: expected a loopback address such as 127.0.0.1, as no API keys are "
            f"set, got {settings.host}. Make keys (`inkling keys add`) and name their file in "
            "INKLING_API_KEYS_FILE, or let anybody in with INKLING_SERVE_ANYBODY=true"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def allow_files(connections: int) -> None:
    """Have the operating system allow as many open files as so many connections need.

    Raises BadSetting where it does not.
    """
    with contextlib.suppress(ImportError):  # Windows has no such limit
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = connections + SPARE_FILES
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise BadSetting(
                f"INKLING_MAX_CONNECTIONS: expected at most {hard - SPARE_FILES}, as this process "
                f"may open {hard} files (ulimit -n), got {connections}"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class TellingServer(uvicorn.Server):
    """A server that tells where it listens, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`, which tells it of sockets alone that it has bound itself."""
        await super().startup(sockets)
        for listening in sockets or ():
            host, port = listening.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            log.info("Uvicorn running on http://%s:%d (Press CTRL+C to quit)", shown, port)


def server_config(app: FastAPI, **options: Any) -> uvicorn.Config:
    """The HTTP layer of an application that `create_app` made."""
    connections: Connections = app.state.connections
    return uvicorn.Config(
        app,
        http=connection_class(connections),  # type: ignore[arg-type]
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(connections.limits.idle_seconds),
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        **options,
    )
