"""Names that this user gave sessions, in a file: a name stands for a session and its server."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import BadData
from .chosen_server import own_folder

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Named:
    """A session, and the server that has it; None where no server does."""

    session_id: str
    server: str | None


def check_name(name: str) -> None:
    """Raise BadData for what cannot be a session's name, or is one already."""
    if not NAME.fullmatch(name):
        raise BadData(
            f"expected a name of at most 64 letters, digits, dots, dashes and underscores, "
            f"got {name!r}"
        )
    if (known := names().get(name)) is not None:
        raise BadData(
            f"{name!r} is the name of session {known.session_id} already; "
            f"`inkling forget {name}` frees it"
        )


_ID = re.compile(r"[A-Za-z0-9_-]{32}")


def names() -> dict[str, Named]:
    """All names. Raises BadData for a file that is none of ours."""
    return _read(_file())


def give(name: str, named: Named) -> None:
    """Have a name stand for a session."""
    with _changing() as known:
        known[name] = named


def take(session_id: str) -> None:
    """Have no name stand for a session."""
    with _changing() as known:
        for name in [name for name, named in known.items() if named.session_id == session_id]:
            del known[name]


def named(session: str, server: str | None) -> Named:
    """What a name stands for; anything else is an id, at the server that was chosen."""
    known = names().get(session)
    if known is None:
        if not _ID.fullmatch(session):
            raise BadData(
                f"expected the name of a session, or an id, got {session!r}: `inkling sessions` "
                "lists them, `inkling adapt FOLDER --name NAME` makes one"
            )
        return Named(session, server)
    if server is not None and server != known.server:
        where = f"made at {known.server}" if known.server else "kept without a server"
        raise BadData(f"the session {session!r} is {where}, not at {server}")
    return known


def _file() -> Path:
    return own_folder() / "names.json"


def _read(path: Path) -> dict[str, Named]:
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        return {name: Named(**entry) for name, entry in told.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as broken:
        raise BadData(f"expected names of sessions in {path}: {broken}") from None


@contextmanager
def _changing() -> Iterator[dict[str, Named]]:
    """The names, written back as a whole; other processes wait."""
    path = _file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = _read(path)
        yield known
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(
            json.dumps({name: asdict(entry) for name, entry in known.items()}, indent=1)
        )
        temporary.replace(path)
