"""All routes. Each reads a call, runs a use case, and writes its answer."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import BaseRoute

from . import (
    adaptation_routes,
    operation_routes,
    portable_routes,
    prediction_routes,
    session_routes,
)
from .openapi import refusals
from .paths import VERSION_PREFIX

ROUTERS = tuple(
    part.router
    for part in (
        adaptation_routes,
        prediction_routes,
        session_routes,
        portable_routes,
        operation_routes,
    )
)


def install_routes(app: FastAPI) -> list[BaseRoute]:
    """Add the routes to an application, also under the version of the API, and give them."""
    for router in ROUTERS:
        app.include_router(router, responses=refusals("default"))
    for router in ROUTERS:
        app.include_router(router, prefix=VERSION_PREFIX, include_in_schema=False)
    return [route for router in ROUTERS for route in router.routes]
