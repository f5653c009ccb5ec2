"""The wiring of a server: settings in, application out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version

from fastapi import FastAPI

from .api.body import BodyLimits
from .api.docs_page import install_docs_page
from .api.middleware import RequestContext
from .api.openapi import install_openapi
from .api.problems import install_problems
from .api.routes import Wiring, router
from .checkpoints.catalogue import find_checkpoint
from .checkpoints.checkpoint import Checkpoint, load_checkpoint
from .engine.device import choose_device
from .engine.engine import Engine
from .errors import BadSetting
from .service import Limits, Service
from .sessions.memory import MemorySessions
from .settings import Settings, read_settings

SWEEP_SECONDS = 30
MAX_OPTIONS = 32
"""Parts that a form may have besides its images."""
DESCRIPTION = """Show it a few labelled images per class, and it classifies new ones.

`POST /adapt` runs a few gradient steps from a meta-trained initialization and makes a session;
`POST /predict` classifies images with it."""

log = logging.getLogger("inkling")


def create_app(settings: Settings | None = None, clock: Callable[[], float] = time.time) -> FastAPI:
    """Make the application; initializations are warmed up when it starts.

    Raises BadSetting for a wrong environment (when ``settings`` are not given) and for a GPU
    that is asked for and absent, BadCheckpoint for an initialization that cannot be loaded.
    """
    chosen = read_settings() if settings is None else settings
    checkpoints = _load(chosen)
    device = choose_device(chosen.device)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        began = time.perf_counter()
        engine = Engine(
            checkpoints,
            device=device,
            workers=chosen.workers,
            queue_limit=chosen.queue_limit,
        )
        sessions = MemorySessions(chosen.session_max_bytes, clock)
        try:
            engine.warm_up()
            service = Service(checkpoints, engine, sessions, _limits(chosen), clock)
            app.state.wiring = Wiring(service, _body_limits(chosen), chosen.max_calls)
            log.info(
                "ready in %.1fs on %s with %s",
                time.perf_counter() - began,
                engine.device_name,
                ", ".join(f"{c.name} ({c.identity[:12]})" for c in checkpoints),
            )
            sweeper = asyncio.create_task(_sweep(sessions))
            yield
            sweeper.cancel()
        finally:
            engine.close()

    app = FastAPI(
        title="Inkling",
        version=version("inkling"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(router)
    install_docs_page(app)
    install_problems(app, [*router.routes, *app.routes])
    install_openapi(app)
    app.add_middleware(RequestContext)
    return app


def _load(settings: Settings) -> list[Checkpoint]:
    checkpoints = [load_checkpoint(find_checkpoint(name)) for name in settings.initializations]
    names = [checkpoint.name for checkpoint in checkpoints]
    if len(set(names)) < len(names):
        raise BadSetting(f"initializations: expected different names, got {', '.join(names)}")
    return checkpoints


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_classes=settings.max_classes,
        max_support_images=settings.max_support_images,
        max_query_images=settings.max_query_images,
        default_ttl_seconds=settings.session_ttl_seconds,
        max_ttl_seconds=settings.session_max_ttl_seconds,
        max_lifetime_seconds=settings.session_max_lifetime_seconds,
        deadline_seconds=settings.deadline_seconds,
        concurrent_decodes=settings.workers,
    )


def _body_limits(settings: Settings) -> BodyLimits:
    most_images = max(settings.max_support_images, settings.max_query_images)
    return BodyLimits(
        max_bytes=settings.max_body_bytes,
        seconds=settings.body_timeout_seconds,
        max_parts=most_images + MAX_OPTIONS,
    )


async def _sweep(sessions: MemorySessions) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        sessions.sweep()
