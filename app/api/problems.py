"""Refusals to RFC 9457 problem details: one table from error classes to statuses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from .. import errors
from .paths import root_path
from .uploads import SlowBody

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its name in `/problems/<name>`, status, title and explanation."""

    name: str
    status: int
    title: str
    explanation: str


KINDS: Mapping[type[Exception], Kind] = {
    errors.MalformedBody: Kind(
        "malformed-body",
        400,
        "The body cannot be read",
        "The body is not a complete multipart form or not JSON. A form needs the boundary in its "
        "Content-Type and the closing boundary at its end.",
    ),
    errors.SessionNotFound: Kind(
        "session-not-found",
        404,
        "No such session",
        "The session is unknown, has expired or was deleted. Adapt again to get a new one.",
    ),
    errors.UnknownApiKey: Kind(
        "unknown-caller",
        401,
        "The caller is not known",
        "This server asks for an API key in the header Authorization: Bearer KEY.",
    ),
    errors.TooManyKeysTried: Kind(
        "too-many-keys-tried",
        429,
        "Too many calls without a good key",
        "Calls with a key of this server are answered; others from this address are not for a "
        "moment.",
    ),
    errors.ForeignRequest: Kind(
        "foreign-request",
        403,
        "The request comes from somebody else's web page",
        "This server asks for no API key. It hence answers calls by names of its own alone, and "
        "lets no other web page change anything. INKLING_ALLOWED_HOSTS and "
        "INKLING_ALLOWED_ORIGINS let further ones in.",
    ),
    SlowBody: Kind(
        "slow-body",
        408,
        "The body took too long to arrive",
        "The whole body must arrive within the time that the server sets.",
    ),
    errors.InitializationNotLoaded: Kind(
        "initialization-not-loaded",
        409,
        "The session's initialization is not loaded",
        "The session was adapted from an initialization that this server does not have now. It "
        "is never predicted with another one.",
    ),
    errors.NotExportable: Kind(
        "not-exportable",
        409,
        "The session cannot be exported to this format",
        "ONNX cannot express this initialization's network or did not compute the same. Export "
        "the session as safetensors, which any session can be.",
    ),
    errors.SupportNotKept: Kind(
        "support-not-kept",
        409,
        "The session's support set was not kept",
        "Images can be added to, taken out of and reported on in sessions that keep their support "
        "set alone. Adapt anew with all images, and without keep_support=false.",
    ),
    errors.SupportImageNotFound: Kind(
        "support-image-not-found",
        404,
        "No such support image",
        "Positions count the session's support images from 0 in the order sent, as in reports. "
        "Those behind an image that was taken out have moved down by one.",
    ),
    errors.SessionChanged: Kind(
        "session-changed",
        409,
        "The session has changed meanwhile",
        "Another call has changed the session while this one worked on it. Try again.",
    ),
    errors.IdempotencyKeyInUse: Kind(
        "idempotency-key-in-use",
        409,
        "A call with this key is still running",
        "Ask again after the time in Retry-After: the answer of the first call is given then.",
    ),
    errors.PreconditionFailed: Kind(
        "precondition-failed",
        412,
        "The session is at another version",
        "If-Match names a version of the session that is not the current one. Look at the "
        "session for its ETag.",
    ),
    errors.TooLarge: Kind(
        "too-large",
        413,
        "The request is too large",
        "Send fewer or smaller images; the limit is in the detail.",
    ),
    errors.UnsupportedMediaType: Kind(
        "unsupported-media-type",
        415,
        "The body is of a kind that is not read here",
        "Send multipart/form-data (curl -F) or application/json.",
    ),
    errors.UnsupportedCoding: Kind(
        "unsupported-coding",
        415,
        "The body is compressed in a way that is not read here",
        "Send the body as it is, or with one of the codings that stand in the Accept-Encoding "
        "header of the answer.",
    ),
    errors.InvalidInput: Kind(
        "invalid-input",
        422,
        "The content cannot be worked with",
        "Every problem found is listed in `problems`, with its field, its position and a code. "
        "Nothing was stored.",
    ),
    errors.BadSessionFile: Kind(
        "bad-session-file",
        422,
        "The file is not that of a session",
        "Send a file that GET /sessions/{id}/export?format=safetensors gave, unchanged.",
    ),
    errors.IdempotencyKeyReused: Kind(
        "idempotency-key-reused",
        422,
        "The key belongs to another call",
        "A key is for one call and its repetitions. Take a new one for other content.",
    ),
    errors.InnerLoopDiverged: Kind(
        "inner-loop-diverged",
        422,
        "The adaptation diverged",
        "The support loss stopped being a finite number. Try fewer steps or other images.",
    ),
    errors.TenantLimit: Kind(
        "tenant-limit",
        429,
        "The caller is at a limit of its own",
        "It has as many sessions, calls or images under way as it may have. Try again after the "
        "time in Retry-After; delete sessions where there are too many of them.",
    ),
    errors.Unavailable: Kind(
        "unavailable",
        503,
        "The server cannot take this on now",
        "Its queue or its session store is full. Try again after the time in Retry-After.",
    ),
    errors.DeadlineExceeded: Kind(
        "deadline-exceeded",
        504,
        "The work took too long",
        "The call was not finished within the server's deadline. Send fewer images or ask for "
        "fewer steps.",
    ),
}
NOT_FOUND = Kind("not-found", 404, "No such resource", "There is nothing at this path.")
METHOD_NOT_ALLOWED = Kind(
    "method-not-allowed",
    405,
    "The method is not allowed here",
    "The methods that are stand in the Allow header.",
)
INTERNAL = Kind(
    "internal-error",
    500,
    "Something went wrong in the server",
    "This is a fault of the server. Its log has the details under the request id.",
)
ALL_KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (*KINDS.values(), NOT_FOUND, METHOD_NOT_ALLOWED, INTERNAL)
}


RETRIED = (
    errors.Unavailable,
    errors.IdempotencyKeyInUse,
    errors.TenantLimit,
    errors.TooManyKeysTried,
)
"""Refusals that tell when to ask again."""
CLOSING = (SlowBody, errors.TooLarge)
"""Refusals of a body that is not read to its end."""


def install_problems(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Answer every error that reaches the application with problem details.

    ``routes`` are those that a 405 names the methods of.
    """

    async def refused(request: Request, error: Exception) -> Response:
        return problem_answer(request.scope, error)

    async def routed_nowhere(request: Request, error: Exception) -> Response:
        if getattr(error, "status_code", None) == 405:
            allowed = _allowed_methods(routes, request)
            detail = f"{request.method} is not among {allowed}"
            return _answer(request.scope, METHOD_NOT_ALLOWED, detail, {"Allow": allowed})
        return _answer(request.scope, NOT_FOUND, f"nothing at {request.url.path[:200]}")

    async def broken(request: Request, _: Exception) -> Response:
        # This answer passes by the middleware that sets these on all others.
        request_id = request.scope.get("state", {}).get("request_id", "")
        return _answer(
            request.scope,
            INTERNAL,
            None,
            {"X-Request-Id": request_id, "Cache-Control": "no-store", "Connection": "close"},
        )

    for error_class in KINDS:
        app.add_exception_handler(error_class, refused)
    app.add_exception_handler(HTTPException, routed_nowhere)
    app.add_exception_handler(Exception, broken)


def kind_of(error: Exception) -> Kind:
    """The kind of problem that a refusal is told as."""
    return next(KINDS[base] for base in type(error).__mro__ if base in KINDS)


def problem_answer(scope: Scope, error: Exception) -> Response:
    """The answer to a request that is refused with an error of `KINDS`."""
    kind = kind_of(error)
    extra: dict[str, object] = {}
    headers: dict[str, str] = {}
    if isinstance(error, errors.InvalidInput):
        extra["problems"] = [
            {key: value for key, value in vars(problem).items() if value is not None}
            for problem in error.problems
        ]
    if isinstance(error, errors.UnknownApiKey):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.UnsupportedCoding):
        headers["Accept-Encoding"] = ", ".join(error.expected)
    if isinstance(error, RETRIED):
        headers["Retry-After"] = str(math.ceil(error.retry_after_seconds))
    if isinstance(error, CLOSING):
        headers["Connection"] = "close"
    return _answer(scope, kind, str(error), headers, extra)


def _answer(
    scope: Scope,
    kind: Kind,
    detail: str | None,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, object] | None = None,
) -> JSONResponse:
    scope.setdefault("state", {})["problem"] = kind.name
    content = {
        "type": f"{root_path(scope)}/problems/{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "request_id": scope.get("state", {}).get("request_id"),
        **(extra or {}),
    }
    return JSONResponse(
        {key: value for key, value in content.items() if value is not None},
        status_code=kind.status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def _allowed_methods(routes: Sequence[BaseRoute], request: Request) -> str:
    methods: set[str] = set()
    for route in routes:
        matched, _ = route.matches(request.scope)
        if matched is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
