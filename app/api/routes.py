"""The routes: each reads a call, runs a use case in a thread, and writes its answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Annotated, TypeVar

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, HTTPException, Request, Response, Security
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPBearer

from ..errors import DeadlineExceeded, InvalidInput, Problem, Unavailable
from ..service.service import Service
from ..service.values import AdaptCall, Adapted, Keyed, Replayed, Submitted
from . import responses
from .auth import ApiKeys
from .body import BodyLimits
from .headers import entity_tag, idempotency_key, if_match, next_link, session_path
from .metrics import CONTENT_TYPE, metrics_text
from .openapi import ADAPT_BODY, EVALUATE_BODY, PREDICT_BODY, SUPPORT_BODY, refusals
from .problems import ALL_KINDS
from .requests import read_adapt, read_evaluate, read_predict, read_support
from .schemas import (
    AdaptAnswer,
    EvaluateAnswer,
    InitializationList,
    PredictAnswer,
    ProblemAnswer,
    SessionInfo,
    SessionList,
    Status,
)

RETRY_AFTER_SECONDS = 1.0
DEFAULT_PAGE, MOST_LISTED = "50", 500
Result = TypeVar("Result")

router = APIRouter(responses=refusals("default"))


class Wiring:
    """What the routes need of the process; kept in the application's state."""

    def __init__(
        self, service: Service, callers: ApiKeys, body_limits: BodyLimits, max_calls: int
    ) -> None:
        self.service, self.callers, self.body_limits = service, callers, body_limits
        self._limiter = anyio.CapacityLimiter(max_calls)
        self._admitted, self._max_calls = 0, max_calls

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a call in before its body is read; raises Unavailable when there are too many."""
        if self._admitted >= self._max_calls:
            raise Unavailable(f"{self._max_calls} calls are being worked on", RETRY_AFTER_SECONDS)
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Run a use case off the event loop."""
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    async def soonest(
        self,
        what: str,
        submitted: Submitted[Result] | None,
        otherwise: Callable[[], Result],
    ) -> Result:
        """The result of a small call that was submitted, or of a use case run in a thread."""
        if submitted is not None:
            seconds = self.service.limits.deadline_seconds
            try:
                async with asyncio.timeout(seconds):
                    found, _ = await asyncio.wrap_future(submitted)
                    if isinstance(found, Future):
                        return await asyncio.wrap_future(found)
            except TimeoutError:
                raise DeadlineExceeded(what, seconds) from None
            if found is not None:
                return found
        return await self.in_thread(otherwise)


# Dependencies are coroutines: FastAPI would hand plain functions to a thread.
async def _wiring(request: Request) -> Wiring:
    wiring: Wiring = request.app.state.wiring
    return wiring


Wired = Annotated[Wiring, Depends(_wiring)]


async def _caller(
    request: Request,
    wiring: Wired,
    _shown_in_docs: Annotated[object, Security(HTTPBearer(auto_error=False))],
) -> str:
    return wiring.callers.tenant_of(request)


Caller = Annotated[str, Depends(_caller)]
"""The tenant that calls."""


def _entered(request: Request) -> tuple[Wiring, str]:
    """The wiring and the tenant that calls, before a body is read.

    Routes that read their bodies themselves leave FastAPI nothing to solve, which takes it longer.
    """
    wiring: Wiring = request.app.state.wiring
    return wiring, wiring.callers.tenant_of(request)


@router.post(
    "/adapt",
    status_code=201,
    summary="Make a session from a support set",
    tags=["few-shot"],
    openapi_extra=ADAPT_BODY,
    response_model=AdaptAnswer,
    responses=refusals(400, 401, 404, 408, 409, 413, 415, 422, 429, 503, 504),
)
async def adapt(request: Request) -> Response:
    """Run the inner loop on labelled images; all of them are used, or none.

    In a form every **file field is an image and its field's name is the label**, and text
    fields are options, so that a class may be called `steps`.

    With a header `Idempotency-Key` the call may be repeated when its answer was lost: within 24
    hours, the same key and content get the same answer and make no second session.
    """
    wiring, tenant = _entered(request)
    keyed = _keyed(request, wiring, "POST /adapt", 201)
    with wiring.admitted():
        read = await read_adapt(request, wiring.body_limits)
        call = AdaptCall(read.images, read.options, read.problems, tenant, keyed)
        adapting = wiring.service.adapting
        adapted = await wiring.soonest(
            "adapting", adapting.submit(call), lambda: adapting.adapt(call)
        )
    return _adapt_response(request, wiring, adapted, 201)


@router.post(
    "/predict",
    summary="Classify images with a session's adapted model",
    tags=["few-shot"],
    openapi_extra=PREDICT_BODY,
    response_model=PredictAnswer,
    responses=refusals(400, 401, 404, 408, 409, 413, 415, 422, 503, 504),
)
async def predict(request: Request) -> Response:
    """Classify each image by itself: no other image of the call has a say in its prediction."""
    wiring, tenant = _entered(request)
    with wiring.admitted():
        call = await read_predict(request, wiring.body_limits, tenant)
        predicting = wiring.service.predicting
        predicted = await wiring.soonest(
            "predicting", predicting.submit(call), lambda: predicting.predict(call)
        )
    headers = {"Server-Timing": responses.server_timing(predicted.timing)}
    answer = responses.predict_answer(predicted, wiring.service)
    return Response(answer.model_dump_json(), 200, headers, media_type="application/json")


@router.get(
    "/sessions",
    summary="List the caller's sessions",
    tags=["sessions"],
    responses=refusals(401, 422, 503),
)
def list_sessions(
    request: Request,
    response: Response,
    wiring: Wired,
    tenant: Caller,
    limit: str = DEFAULT_PAGE,
    after: str | None = None,
) -> SessionList:
    """The newest first, `limit` at a time (1 to 500); `after` is the `next` of the page before."""
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= MOST_LISTED:
        message = f"expected a whole number from 1 to {MOST_LISTED}, got {limit[:50]!r}"
        raise InvalidInput([Problem("out_of_range", message, "limit")])
    page = wiring.service.page(tenant=tenant, limit=int(limit), after=after)
    if page.next is not None:
        response.headers["Link"] = next_link(request, int(limit), page.next)
    return responses.session_list(page, wiring.service.loaded)


@router.get(
    "/sessions/{session_id}",
    summary="Look at a session",
    tags=["sessions"],
    responses=refusals(401, 404, 409, 503),
)
def look_at_session(
    session_id: str, response: Response, wiring: Wired, tenant: Caller
) -> SessionInfo:
    """Looking at a session is no use of it: its end does not move."""
    session = wiring.service.session(session_id, tenant=tenant)
    wiring.service.loaded.of(session)
    response.headers["ETag"] = entity_tag(session.version)
    return responses.session_info(session, wiring.service.loaded)


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    summary="Delete a session and all it holds",
    tags=["sessions"],
    responses=refusals(401, 404, 503),
)
def delete_session(session_id: str, wiring: Wired, tenant: Caller) -> None:
    """The session's tensors and labels are forgotten at once, and gone from the disk soon after."""
    wiring.service.forget(session_id, tenant=tenant)


@router.post(
    "/sessions/{session_id}/support",
    summary="Add images to a session",
    tags=["sessions"],
    openapi_extra=SUPPORT_BODY,
    response_model=AdaptAnswer,
    responses=refusals(400, 401, 404, 408, 409, 412, 413, 415, 422, 503, 504),
)
async def add_support(session_id: str, request: Request) -> Response:
    """Adapt again, from the initialization, on the session's support set and the added images.

    The images may be of new classes. The session is then as if all of them had been sent at
    once; when the call fails it stays as it was. Calls at the same time take turns. A header
    `If-Match` with an `ETag` refuses the call when the session has changed since;
    `Idempotency-Key` works as for `/adapt`.
    """
    wiring, tenant = _entered(request)
    keyed = _keyed(request, wiring, f"POST /sessions/{session_id}/support", 200)
    version = if_match(request)
    with wiring.admitted():
        read = await read_support(request, wiring.body_limits)
        call = AdaptCall(read.images, read.options, read.problems, tenant, keyed)
        adapted = await wiring.in_thread(
            lambda: wiring.service.adapting.add(session_id, call, if_match=version)
        )
    return _adapt_response(request, wiring, adapted, 200)


@router.post(
    "/sessions/{session_id}/evaluate",
    summary="Measure a session on labelled queries",
    tags=["sessions"],
    openapi_extra=EVALUATE_BODY,
    responses=refusals(400, 401, 404, 408, 409, 413, 415, 422, 503, 504),
)
async def evaluate(session_id: str, request: Request, response: Response) -> EvaluateAnswer:
    """Classify images whose labels are known: accuracy, confusion and calibration."""
    wiring, tenant = _entered(request)
    with wiring.admitted():
        call = await read_evaluate(request, wiring.body_limits)
        evaluated = await wiring.in_thread(
            lambda: wiring.service.evaluate(session_id, call.images, call.problems, tenant=tenant)
        )
    response.headers["Server-Timing"] = responses.server_timing(evaluated.predicted.timing)
    return responses.evaluate_answer(evaluated, wiring.service)


def _keyed(request: Request, wiring: Wiring, route: str, status: int) -> Keyed | None:
    key = idempotency_key(request)
    if key is None:
        return None
    return Keyed(key, route, status, lambda adapted: _content(adapted, wiring))


def _content(adapted: Adapted, wiring: Wiring) -> bytes:
    return responses.adapt_answer(adapted, wiring.service).model_dump_json().encode()


def _adapt_response(
    request: Request, wiring: Wiring, adapted: Adapted | Replayed, status: int
) -> Response:
    """The answer to an adaptation, or that of an earlier call with the same key once more."""
    headers = {}
    if isinstance(adapted, Replayed):
        content, status = adapted.content, adapted.status
        headers["Idempotency-Replayed"] = "true"
        told = json.loads(content)
        session_id, version = told["session_id"], told["version"]
    else:
        # What is kept under a key was told before it was stored: the same answer both times.
        kept = idempotency_key(request) is not None
        content = _content(adapted.before_storing() if kept else adapted, wiring)
        headers["Server-Timing"] = responses.server_timing(adapted.timing)
        session_id, version = adapted.session.id, adapted.session.version
    headers["ETag"] = entity_tag(version)
    if status == 201:
        headers["Location"] = session_path(request, session_id)
    return Response(content, status, headers, media_type="application/json")


@router.get(
    "/initializations",
    summary="What is loaded",
    tags=["initializations"],
    responses=refusals(401),
)
def list_initializations(wiring: Wired, _tenant: Caller) -> InitializationList:
    """The loaded initializations: data, measured accuracy, limits, identity, licence."""
    return responses.initialization_list(wiring.service)


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="Does the process answer", tags=["operation"])
async def alive() -> Status:
    """Answers as long as the process does."""
    return Status(status="alive")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Can work be taken on", tags=["operation"], responses=refusals(503))
def ready(wiring: Wired) -> Status:
    """Answers once every initialization is loaded and warm, while sessions can be reached."""
    wiring.service.check()
    return Status(status="ready")


@router.get(
    "/metrics",
    summary="What the process has done",
    tags=["operation"],
    response_class=PlainTextResponse,
    responses=refusals(503),
)
def metrics(wiring: Wired) -> Response:
    """Counts and sizes in the text format of Prometheus; nothing of any one session."""
    return Response(metrics_text(wiring.service), media_type=CONTENT_TYPE)


@router.get(
    "/problems/{name}",
    summary="What a problem type means",
    tags=["operation"],
    response_model_exclude_none=True,
    responses=refusals(404),
)
async def explain_problem(name: str) -> ProblemAnswer:
    """Explains the `type` of a problem."""
    if name not in ALL_KINDS:
        raise HTTPException(404)
    kind = ALL_KINDS[name]
    return ProblemAnswer(
        type=f"/problems/{kind.name}",
        title=kind.title,
        status=kind.status,
        detail=kind.explanation,
    )
