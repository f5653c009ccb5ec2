"""Query parameters: those that a route does not know are refused, as unknown fields are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.routing import APIRoute

from ..errors import InvalidInput, Problem
from .schemas import AdaptBody, PredictBody

MAX_LISTED = 100
SHOWN = 50
"""Characters of a parameter's name that a message repeats."""
BODY_FIELDS = frozenset((*AdaptBody.model_fields, *PredictBody.model_fields))

Handler = Callable[[Request], Awaitable[Response]]


class StrictRoute(APIRoute):
    """A route that ignores no query parameter."""

    def get_route_handler(self) -> Handler:  # type: ignore[override]
        """The route's own handler, behind the check."""
        handle = super().get_route_handler()
        known = frozenset(parameter.alias for parameter in self.dependant.query_params)

        async def checked(request: Request) -> Response:
            query = request.scope["query_string"]
            if query:
                _check(query.decode("latin-1"), known, request.method)
            return await handle(request)

        return checked


def _check(query: str, known: frozenset[str], method: str) -> None:
    """Raise InvalidInput that lists unknown and repeated parameters, without their values."""
    counts = Counter(name for name, _ in parse_qsl(query, keep_blank_values=True))
    problems = []
    for name, count in counts.items():
        if name not in known:
            message = _unknown(name, known, method)
            problems.append(Problem("unknown_parameter", message, name[:SHOWN]))
        elif count > 1:
            message = f"expected once, got {count:,} times"
            problems.append(Problem("repeated_parameter", message, name))
    if len(problems) > MAX_LISTED:
        more = Problem("too_many_problems", f"and {len(problems) - MAX_LISTED:,} more")
        problems = [*problems[:MAX_LISTED], more]
    if problems:
        raise InvalidInput(problems)


def _unknown(name: str, known: frozenset[str], method: str) -> str:
    if method == "POST" and name in BODY_FIELDS:
        return "expected it in the body, as a field of the form or of the JSON, got it in the query"
    wanted = f"parameters among {', '.join(sorted(known))}" if known else "no parameters"
    return f"expected {wanted} in the query, got {name[:SHOWN]!r}"
