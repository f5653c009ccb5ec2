"""Paths as callers see them: behind a proxy's prefix, and under a version of the API."""

from __future__ import annotations

from starlette.types import Scope

VERSION_PREFIX = "/v1"


def root_path(scope: Scope) -> str:
    """The prefix under which a proxy publishes the server, or nothing."""
    prefix: str = scope.get("root_path", "")
    return prefix


def own_path(scope: Scope) -> str:
    """The path behind the proxy's prefix."""
    path: str = scope["path"]
    return path.removeprefix(root_path(scope))


def route_path(scope: Scope) -> str:
    """The path of a route, whatever version of the API the call names."""
    path = own_path(scope)
    return path.removeprefix(VERSION_PREFIX) if path.startswith(VERSION_PREFIX + "/") else path


def prefix(scope: Scope) -> str:
    """What comes before the path of a route in addresses that an answer tells."""
    versioned = own_path(scope).startswith(VERSION_PREFIX + "/")
    return root_path(scope) + (VERSION_PREFIX if versioned else "")
