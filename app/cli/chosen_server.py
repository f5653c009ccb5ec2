"""The server that commands talk to: one that is running, or one in this process."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..client import Client
from ..errors import BadData

KEPT_SECONDS = 365 * 86_400.0
"""How long a session without a server is kept."""
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="INKLING_SERVER",
        help="Address of a server; without one, this process does the work.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        envvar="INKLING_API_KEY_FILE",
        help="File with the API key for the server (INKLING_API_KEY has the key itself).",
    ),
]
NoShrink = Annotated[
    bool, typer.Option("--no-shrink", help="Send large photographs as they are, byte for byte.")
]


@dataclass(frozen=True)
class Place:
    """Where sessions live: at a server's address, or without one in a folder of this user."""

    server: str | None
    key_file: Path | None = None
    shrink: bool = True

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """A client of the server, which is started where none has an address.

        Raises BadData for a key file that cannot be read, ServerUnreachable and BadSetting.
        """
        if self.server is None:
            with _server_of_its_own() as url, Client(url, shrink=self.shrink) as client:
                yield client
        else:
            with Client(self.server, api_key=self._key(), shrink=self.shrink) as client:
                yield client

    def _key(self) -> str | None:
        if self.key_file is None:
            return os.environ.get("INKLING_API_KEY") or None
        try:
            return self.key_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as unread:
            raise BadData(f"expected an API key in {self.key_file}: {unread}") from None


def own_folder() -> Path:
    """Where names of sessions, and sessions without a server, are kept for this user."""
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    return base / "inkling" / "commands"


@contextlib.contextmanager
def _server_of_its_own() -> Iterator[str]:
    from ..main import create_app
    from ..settings import read_settings
    from .local_server import local_server

    if sys.stderr.isatty():
        sys.stderr.write("inkling: no --server, so this process loads the initializations\n")
    settings = read_settings().model_copy(
        update={
            "api_keys_file": None,
            "root_path": "",
            "session_store": "sqlite",
            "session_folder": own_folder(),
            "session_ttl_seconds": KEPT_SECONDS,
            "session_max_ttl_seconds": KEPT_SECONDS,
            "session_max_lifetime_seconds": KEPT_SECONDS,
        }
    )
    with _quietly(), local_server(create_app(settings)) as url:
        yield url


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Leave out what a server warns its operators of: nobody else reaches this one."""
    log = logging.getLogger("inkling")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
