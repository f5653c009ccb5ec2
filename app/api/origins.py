"""What browsers may do here: own names, foreign web pages, and where the server is published."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import ForeignRequest
from .paths import route_path
from .problems import problem_answer

OPEN_TO_ALL_NAMES = ("/livez", "/readyz", "/metrics")
READING = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Names:
    """By which names a server may be called, and from which origins."""

    hosts: Collection[str] = ()
    origins: Collection[str] = ()


class Published:
    """Takes off a proxy's prefix, and answers HEAD as GET does."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app, self._root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        changed = {}
        if self._root_path:
            path, prefix = scope["path"], self._root_path
            # Proxies pass a prefix on or take it off.
            inside = path == prefix or path.startswith(prefix + "/")
            whole = path if inside else prefix + path
            changed = {"root_path": prefix, "path": prefix + "/" if whole == prefix else whole}
        if scope["method"] == "HEAD":
            changed["method"] = "GET"
        await self._app({**scope, **changed} if changed else scope, receive, send)


class OwnPages:
    """Where nobody is asked for a key, refuses what a foreign web page has a browser send.

    A name that an attacker's page resolves to this machine (DNS rebinding) is no name of this
    server; a form that a foreign page posts names its origin. Addresses, `localhost` and names
    without a dot cannot be had by an attacker.
    """

    def __init__(self, app: ASGIApp, names: Names) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] == "http" and route_path(scope) not in OPEN_TO_ALL_NAMES:
            try:
                self._check(scope)
            except ForeignRequest as refused:
                await problem_answer(scope, refused)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = _name_of(host)
        if not (_is_own(name) or _among(name, self._names.hosts)):
            raise ForeignRequest(
                f"expected an address, localhost or a name in INKLING_ALLOWED_HOSTS, got {name!r}"
            )
        if scope["method"] in READING:
            return
        origin = headers.get("origin")
        if origin is None:
            if headers.get("sec-fetch-site") == "cross-site":
                raise ForeignRequest("expected a call from a page of this server, got another's")
        elif not (
            _place_of(origin) == host.lower() or {"*", origin.lower()} & set(self._names.origins)
        ):
            raise ForeignRequest(
                f"expected a page of this server or an origin in INKLING_ALLOWED_ORIGINS, got "
                f"{origin[:100]!r}"
            )


def _place_of(origin: str) -> str | None:
    """Name and port of an origin; None where it is none that can be read."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return host


def _is_own(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(".localhost")
    return True


def _among(name: str, hosts: Collection[str]) -> bool:
    return any(
        host in {name, "*"} or (host.startswith(".") and name.endswith(host)) for host in hosts
    )
