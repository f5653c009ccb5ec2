"""Bounds of requests that a server knows once it has started, for its OpenAPI schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..service.registry import AUTO
from ..service.service import Service

REQUESTS = ("AdaptBody", "SupportBody", "EvaluateBody", "PredictBody", "ReportBody")
"""The models of bodies in JSON."""
EMPTY_TEXT = {"type": "string", "const": ""}
NOTHING_GIVEN = ({"type": "null"}, EMPTY_TEXT)
"""How JSON and forms leave an option open."""


def add_bounds(schema: dict[str, Any], service: Service) -> None:
    """Write into an OpenAPI schema what settings allow and what the loaded initializations can do.

    Where these differ, as many steps as each of them can do, and views as any of them.
    """
    limits, handles = service.limits, list(service.registry.by_name.values())
    support, queries = (
        {"maxItems": limits.max_support_images},
        {"maxItems": limits.max_query_images},
    )
    bounds: dict[str, dict[str, Any]] = {
        "initialization": {"enum": [AUTO, *service.registry.by_name]},
        "steps": {"maximum": min(h.checkpoint.config.inner_loop.max_steps for h in handles)},
        "views": {
            "minimum": min(h.allowed_views[0] for h in handles),
            "maximum": max(h.allowed_views[-1] for h in handles),
        },
        "ttl_seconds": {"maximum": limits.max_ttl_seconds},
        "support": support,
        "queries": queries,
        "images": queries,
        "image": queries,
    }
    for body in _bodies(schema):
        for name, described in body["properties"].items():
            for kind in described.get("anyOf", [described]):
                if kind not in NOTHING_GIVEN:
                    kind.update(bounds.get(name, {}))

    for operation in _operations(schema):
        for parameter in operation.get("parameters", []):
            parameter["schema"].update(bounds.get(parameter["name"], {}))


def _operations(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in schema["paths"].values():
        yield from path.values()


def _bodies(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of all bodies that are read, JSON and forms."""
    for name in REQUESTS:
        yield schema["components"]["schemas"][name]
    for path in schema["paths"].values():
        content = path.get("post", {}).get("requestBody", {}).get("content", {})
        if "multipart/form-data" in content:
            yield content["multipart/form-data"]["schema"]
