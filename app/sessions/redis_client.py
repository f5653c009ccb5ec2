"""How a Redis is reached, and what its failures mean, in words that show no address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import BadSetting

CONNECT_SECONDS = 1.0
SOCKET_SECONDS = 1.5
"""How long nothing may come of an answer that is waited for."""
SCHEMES = ("redis://", "rediss://", "unix://")
TOO_SLOW = "Redis does not answer in time"


def options(url: str, password_file: Path | None) -> dict[str, Any]:
    """What a client is made with. No refusal shows the URL, which may hold a password."""
    try:
        from redis.backoff import NoBackoff
        from redis.connection import parse_url
        from redis.retry import Retry
    except ImportError:
        raise BadSetting(
            "INKLING_SESSION_STORE=redis: expected the package redis; install inkling[redis]"
        ) from None
    if not url.startswith(SCHEMES):
        raise BadSetting(f"INKLING_REDIS_URL: expected one that begins with {', '.join(SCHEMES)}")
    try:
        chosen: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError:
        raise BadSetting("INKLING_REDIS_URL: expected a URL such as redis://host:6379/0") from None
    if password_file is not None:
        try:
            chosen["password"] = password_file.read_text().strip()
        except OSError as failed:
            raise BadSetting(
                f"INKLING_REDIS_PASSWORD_FILE: {password_file}: {failed.strerror}"
            ) from None
    connection_class = chosen.pop("connection_class", None)
    if connection_class is not None:
        if "path" in chosen:
            chosen["unix_socket_path"] = chosen.pop("path")
        else:
            chosen["ssl"] = True
    return chosen | {
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "decode_responses": False,
        "health_check_interval": 0,
    }


def is_full(refused: Exception) -> bool:
    """Whether Redis has no memory left for more."""
    return "OOM" in str(refused) or "maxmemory" in str(refused)


def is_cut(failed: Exception) -> bool:
    """Whether a connection ended, and Redis has not said why."""
    from redis.exceptions import AuthenticationError, BusyLoadingError
    from redis.exceptions import ConnectionError as ConnectionLost

    told = isinstance(failed, AuthenticationError | BusyLoadingError)
    return isinstance(failed, ConnectionLost) and not told


_STATES = {
    "READONLY": "Redis is a replica now, which takes no writes",
    "read only replica": "Redis is a replica now, which takes no writes",
    "MISCONF": "Redis cannot write to its disk",
    "MASTERDOWN": "Redis is a replica without its primary",
    "NOREPLICAS": "Redis has too few replicas to take writes",
    "LOADING": "Redis is loading its data",
    "loading": "Redis is loading its data",
    "BUSY": "Redis is busy with a script",
    "CLUSTERDOWN": "Redis has no working cluster",
}


def is_state(refused: Exception) -> bool:
    """Whether an answer tells of Redis, and not of what it was asked."""
    return any(word in str(refused) for word in _STATES)


def told(failed: Exception) -> str:
    """A failure in words that show no address."""
    for word, meaning in _STATES.items():
        if word in str(failed):
            return meaning
    if "imeout" in type(failed).__name__:
        return TOO_SLOW
    return "Redis cannot be reached"
