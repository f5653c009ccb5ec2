"""`inkling serve`: the server, in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

STARTUP_FAILED = 3
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"httpx": {"level": "WARNING"}},
}


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on [INKLING_HOST, else 127.0.0.1].")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on [INKLING_PORT, else 8000].")
    ] = None,
    initializations: Annotated[
        str | None,
        typer.Option(
            help="Names or folders, comma-separated; of several, the images of a call "
            "decide which is used [INKLING_INITIALIZATIONS, else photos,omniglot]."
        ),
    ] = None,
) -> None:
    """Serve few-shot adaptation over HTTP. All settings are INKLING_ variables."""
    from ..main import create_app
    from ..settings import read_settings
    from .listening import TellingServer, allow_files, check_reach, listening_socket, server_config

    settings = read_settings(host=host, port=port, initializations=initializations)
    check_reach(settings)
    allow_files(settings.max_connections)
    with listening_socket(settings.host, settings.port) as listening:
        server = TellingServer(server_config(create_app(settings), log_config=LOGGING))
        server.run(sockets=[listening])
    if not server.started:
        raise typer.Exit(STARTUP_FAILED)
