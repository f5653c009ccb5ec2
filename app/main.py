"""The wiring of a server: settings in, application out."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from importlib.metadata import version

import anyio.to_thread
import torch
from fastapi import FastAPI

from .api.auth import ApiKeys
from .api.body import BodyLimits
from .api.connection import ConnectionLimits, Connections
from .api.docs_page import install_docs_page
from .api.layers import Door, Surroundings, install_layers
from .api.metrics import RequestMetrics, Watched
from .api.openapi import install_openapi
from .api.origins import Names
from .api.page_routes import install_page
from .api.problems import install_problems
from .api.routes import install_routes
from .api.state import AppState
from .api.telemetry import open_spans
from .api.uploads import UploadLimits, Uploads
from .checkpoints.catalogue import find_checkpoint
from .checkpoints.checkpoint import Checkpoint, load_checkpoint
from .engine.device import choose_device
from .engine.engine import Engine
from .engine.handle import Handle
from .engine.process import prepare_process
from .errors import BadSetting, NotExportable, Unavailable
from .export.model import graph_for
from .kernels.cache import kept_folder
from .service.admission import Admission
from .service.registry import AUTO, Registry
from .service.service import Service
from .service.values import Limits
from .sessions.clock import Clock, advancing_clock
from .sessions.keeper import SWEEP_SECONDS, SessionKeeper
from .sessions.memory_store import MemoryStore
from .sessions.redis_store import RedisStore
from .sessions.sessions import Sessions
from .sessions.shared_sessions import SharedSessions
from .sessions.sqlite_store import SqliteStore
from .sessions.store import Bounds, OwnedStore
from .settings import Settings, read_settings

MAX_OPTIONS = 32
"""Parts that a form may have besides its images."""
DESCRIPTION = """Show it a few labelled images per class, and it classifies new ones.

`POST /adapt` runs a few gradient steps from a meta-trained initialization and makes a session;
`POST /predict` classifies images with it."""

log = logging.getLogger("inkling")


def create_app(settings: Settings | None = None, clock: Clock | None = None) -> FastAPI:
    """Make the application; initializations are warmed up when it starts.

    Raises BadSetting for a wrong environment (when ``settings`` are not given), for a GPU that is
    asked for and absent and for telemetry that is not installed, BadCheckpoint for an
    initialization that cannot be loaded. The session store is opened here and closed when the
    application ends. Without a ``clock`` sessions end by one that nobody sets.
    """
    chosen = read_settings() if settings is None else settings
    checkpoints = _load(chosen)
    door = _door(chosen)
    device = choose_device(chosen.device)
    around = _surroundings(chosen)
    keep, clock = _opened_store(chosen, clock)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        began = time.perf_counter()
        _tell_of_compiling()
        engine = _engine(device, chosen)
        with contextlib.ExitStack() as closing:
            closing.callback(engine.close)
            closing.callback(around.close)
            sessions = keep()
            closing.callback(sessions.close)
            registry = Registry(_handles(engine, checkpoints), chosen.default_initialization)
            _keep_what_is_loaded()
            service = Service.of(registry, engine, sessions, door.admission, _limits(chosen), clock)
            closing.callback(service.close)
            app.state.inkling = AppState(service, _body_limits(chosen), _watched(service, door))
            log.info(
                "ready in %.1fs on %s with %s",
                time.perf_counter() - began,
                engine.device_name,
                ", ".join(f"{c.name} ({c.identity[:12]})" for c in checkpoints),
            )
            if not door.keys.asked_for:
                log.warning("no API keys: whoever reaches this server may use and see everything")
            sweeper = asyncio.create_task(_sweep(sessions))
            yield
            sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweeper

    app = FastAPI(
        title="Inkling",
        version=version("inkling"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    routes = install_routes(app)
    install_docs_page(app)
    install_page(app)
    install_problems(app, [*routes, *app.routes])
    install_openapi(app)
    install_layers(app, door, around)
    return app


def warm_up(settings: Settings) -> str:
    """Do what a server does before its first call, and tell where the machine code is kept.

    Traces what exports need too, which a server does when it is first asked. Raises what
    `create_app` does.
    """
    checkpoints = _load(settings)
    engine = _engine(choose_device(settings.device), settings)
    try:
        _handles(engine, checkpoints)
    finally:
        engine.close()
    for checkpoint in checkpoints:
        # The log says why; its sessions are refused when they are to be exported.
        with contextlib.suppress(NotExportable):
            graph_for(checkpoint)
    return str(kept_folder() or "memory alone: no folder for it can be written")


def _tell_of_compiling() -> None:
    folder = kept_folder()
    if folder is None or next(folder.rglob("*.nbi"), None) is None:
        log.info("compiling for this processor, which takes about two minutes, once")


def _engine(device: torch.device, settings: Settings) -> Engine:
    prepare_process(settings.workers)
    return Engine(device=device, workers=settings.workers, queue_limit=settings.queue_limit)


def _handles(engine: Engine, checkpoints: Sequence[Checkpoint]) -> list[Handle]:
    handles = [engine.load(checkpoint) for checkpoint in checkpoints]
    for handle in handles:
        engine.warm_up(handle)
    return handles


def _keep_what_is_loaded() -> None:
    """Spare the collector of garbage all that stays: it would look through it again and again."""
    gc.collect()
    gc.freeze()


def _load(settings: Settings) -> list[Checkpoint]:
    checkpoints = [_load_one(entry) for entry in settings.initializations]
    names = [checkpoint.name for checkpoint in checkpoints]
    if len(set(names)) < len(names):
        raise BadSetting(
            f"initializations: expected different names, got {', '.join(names)}; serve one as "
            "another name with NAME=FOLDER"
        )
    if AUTO in names:
        raise BadSetting(
            f"initializations: expected no initialization of the name {AUTO!r}, which lets images "
            "decide; serve it as another name with NAME=FOLDER"
        )
    default = settings.default_initialization
    if default is not None and default not in (AUTO, *names):
        raise BadSetting(
            f"default_initialization: expected {AUTO} or one of {', '.join(names)}, got {default!r}"
        )
    return checkpoints


def _load_one(entry: str) -> Checkpoint:
    """A checkpoint by name or folder, or as NAME=FOLDER under another name than its own."""
    name, separator, place = entry.partition("=")
    checkpoint = load_checkpoint(find_checkpoint(place if separator else entry))
    return checkpoint.named(name.strip()) if separator else checkpoint


def _opened_store(
    settings: Settings, clock: Clock | None
) -> tuple[Callable[[], SessionKeeper], Clock]:
    """How sessions are kept in the store that was chosen, and the clock by which they end."""
    cache_bytes = settings.session_cache_bytes
    if settings.session_store == "redis" and settings.redis_url is not None:
        shared = RedisStore(
            settings.redis_url.get_secret_value(),
            _bounds(settings),
            settings.redis_prefix,
            settings.redis_password_file,
            clock,
        )
        return partial(
            SharedSessions,
            shared,
            cache_bytes=cache_bytes,
            clock=shared.clock,
            stale_seconds=settings.redis_stale_seconds,
        ), shared.clock
    owned, steady = _store(settings), clock or advancing_clock()
    return partial(Sessions, owned, cache_bytes=cache_bytes, clock=steady), steady


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        settings.session_max_bytes,
        settings.max_idempotency_keys,
        settings.tenant_max_sessions or None,
        settings.tenant_max_bytes or None,
    )


def _store(settings: Settings) -> OwnedStore:
    bounds = _bounds(settings)
    if settings.session_store == "memory":
        return MemoryStore(bounds)
    return SqliteStore(settings.session_folder, bounds)


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_classes=settings.max_classes,
        max_support_images=settings.max_support_images,
        max_query_images=settings.max_query_images,
        default_ttl_seconds=settings.session_ttl_seconds,
        max_ttl_seconds=settings.session_max_ttl_seconds,
        max_lifetime_seconds=settings.session_max_lifetime_seconds,
        deadline_seconds=settings.deadline_seconds,
        report_deadline_seconds=settings.report_deadline_seconds,
        may_keep_support=settings.keep_support,
        concurrent_decodes=settings.workers,
        image_memory_bytes=settings.image_memory_bytes,
    )


def _body_limits(settings: Settings) -> BodyLimits:
    most_images = max(settings.max_support_images, settings.max_query_images)
    return BodyLimits(max_bytes=settings.max_body_bytes, max_parts=most_images + MAX_OPTIONS)


def _door(settings: Settings) -> Door:
    tenant_max_calls = settings.tenant_max_calls or None
    if tenant_max_calls is None and settings.api_keys_file is not None:
        tenant_max_calls = max(1, settings.max_calls // 2)
    most_bytes = max(settings.max_bytes_in_flight, settings.max_body_bytes)
    return Door(
        ApiKeys(settings.api_keys_file),
        Admission(settings.max_calls, tenant_max_calls, settings.tenant_max_images or None),
        Uploads(
            UploadLimits(most_bytes, settings.body_timeout_seconds, settings.body_idle_seconds)
        ),
        Connections(ConnectionLimits(max_connections=settings.max_connections)),
        RequestMetrics(),
    )


def _surroundings(settings: Settings) -> Surroundings:
    return Surroundings(
        Names(settings.allowed_hosts, settings.allowed_origins),
        settings.root_path,
        settings.trusted_proxies,
        settings.log_format,
        open_spans(settings.otlp_endpoint),
    )


def _watched(service: Service, door: Door) -> Watched:
    return Watched(service, door.requests, door.admission, door.uploads, door.connections)


async def _sweep(sessions: SessionKeeper) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await anyio.to_thread.run_sync(sessions.sweep)
        except Unavailable as away:
            log.warning("sweeping sessions: %s", away)
        except Exception:
            log.exception("sweeping sessions")
