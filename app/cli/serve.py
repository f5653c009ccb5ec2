"""`inkling serve`: the server, in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

SHUTDOWN_SECONDS = 25
"""Calls that run get this long to end when the server is told to; Docker waits for 30."""
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
    import uvicorn

    from ..main import create_app
    from ..settings import read_settings

    settings = read_settings(host=host, port=port, initializations=initializations)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=LOGGING,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
