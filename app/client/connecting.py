"""What both clients are set up with."""

from __future__ import annotations

from typing import Any

import httpx

from .exchange import Request

CONNECT_SECONDS = 10.0


def http_options(
    base_url: str,
    timeout_seconds: float,
    connect_seconds: float,
    api_key: str | None,
) -> dict[str, Any]:
    """Arguments of an httpx client; proxies of the environment have no say."""
    return {
        "base_url": base_url,
        "timeout": httpx.Timeout(timeout_seconds, connect=connect_seconds),
        "trust_env": False,
        "headers": {} if api_key is None else {"Authorization": f"Bearer {api_key}"},
    }


def request_options(request: Request) -> dict[str, Any]:
    """Arguments of httpx's ``request``."""
    return {
        "method": request.method,
        "url": request.path,
        "content": request.content,
        "headers": request.headers,
        "params": {name: _spelled(value) for name, value in request.params.items()} or None,
    }


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
