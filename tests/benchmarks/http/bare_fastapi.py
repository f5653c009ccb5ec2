"""The opponent "bare FastAPI server": forms, Pillow, plain PyTorch and a dict of modules.

Also `/empty`, which receives a prediction's upload and answers `{}`, and with `--kind starlette`
a server that has nothing but that, in Starlette alone: the floor under every latency.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import anyio.to_thread
import uvicorn
from fastapi import FastAPI, Form, HTTPException, UploadFile
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .processes import HOST, Json

if TYPE_CHECKING:
    from .work import PlainService

OPTIONS = "BARE_FASTAPI_OPTIONS"
"""Environment variable by which the options reach uvicorn's workers."""
Kind = Literal["def", "async", "starlette"]


@dataclass(frozen=True)
class Options:
    """How the server runs: "def" endpoints in a pool of threads, or "async" in the event loop."""

    kind: Kind
    torch_threads: int
    pool_threads: int
    """Threads that run "def" endpoints; 40 is FastAPI's own number."""
    channels_last: bool


def make_app() -> Starlette:
    """The application that the environment asks for."""
    options = Options(**json.loads(os.environ[OPTIONS]))
    return starlette_app() if options.kind == "starlette" else fastapi_app(options)


def fastapi_app(options: Options) -> FastAPI:
    """Adapt, predict, and the empty endpoint."""
    # Only processes that compute pay for loading torch.
    from .work import PlainService

    service = PlainService(torch_threads=options.torch_threads, channels_last=options.channels_last)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = options.pool_threads
        yield

    app = FastAPI(lifespan=lifespan)
    if options.kind == "def":
        _add_threaded(app, service)
    else:
        _add_async(app, service)

    @app.post("/empty")
    async def empty(session_id: Annotated[str, Form()], image: UploadFile) -> Json:
        del session_id, image
        return {}

    @app.get("/health")
    async def health() -> Json:
        return {}

    return app


def _add_threaded(app: FastAPI, service: PlainService) -> None:
    @app.post("/adapt", status_code=201)
    def adapt(images: list[UploadFile]) -> Json:
        return service.adapt({str(image.filename): image.file.read() for image in images})

    @app.post("/predict")
    def predict(session_id: Annotated[str, Form()], image: UploadFile) -> Json:
        try:
            return service.predict(session_id, image.file.read())
        except KeyError:
            raise HTTPException(404) from None


def _add_async(app: FastAPI, service: PlainService) -> None:
    @app.post("/adapt", status_code=201)
    async def adapt(images: list[UploadFile]) -> Json:
        return service.adapt({str(image.filename): await image.read() for image in images})

    @app.post("/predict")
    async def predict(session_id: Annotated[str, Form()], image: UploadFile) -> Json:
        try:
            return service.predict(session_id, await image.read())
        except KeyError:
            raise HTTPException(404) from None


def starlette_app() -> Starlette:
    """The empty endpoint alone."""

    async def empty(request: Request) -> JSONResponse:
        async with request.form():
            return JSONResponse({})

    async def health(_request: Request) -> JSONResponse:
        return JSONResponse({})

    return Starlette(routes=[Route("/empty", empty, methods=["POST"]), Route("/health", health)])


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kind", choices=["def", "async", "starlette"], default="def")
    parser.add_argument("--torch-threads", type=int, default=1)
    parser.add_argument("--pool-threads", type=int, default=40)
    parser.add_argument("--channels-last", action="store_true", help="not torch's own format")
    parser.add_argument("--processes", type=int, default=1, help="they share no sessions")
    given = parser.parse_args()
    options = Options(given.kind, given.torch_threads, given.pool_threads, given.channels_last)
    os.environ[OPTIONS] = json.dumps(asdict(options))
    uvicorn.run(
        f"{__package__}.bare_fastapi:make_app",
        factory=True,
        host=HOST,
        port=given.port,
        workers=given.processes,
        access_log=False,
    )


if __name__ == "__main__":
    main()
