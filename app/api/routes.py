"""The routes: each reads a call, runs a use case in a thread, and writes its answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated, TypeVar

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, HTTPException, Request, Response

from ..errors import Unavailable
from ..service import Service
from . import answers
from .body import BodyLimits
from .encoding import read_adapt, read_predict
from .openapi import ADAPT_BODY, PREDICT_BODY, refusals
from .problems import ALL_KINDS
from .schemas import (
    AdaptAnswer,
    InitializationList,
    PredictAnswer,
    ProblemAnswer,
    SessionInfo,
    Status,
)

RETRY_AFTER_SECONDS = 1.0
Result = TypeVar("Result")

router = APIRouter(responses=refusals("default"))


class Wiring:
    """What the routes need of the process; kept in the application's state."""

    def __init__(self, service: Service, body_limits: BodyLimits, max_calls: int) -> None:
        self.service, self.body_limits = service, body_limits
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


def _wiring(request: Request) -> Wiring:
    wiring: Wiring = request.app.state.wiring
    return wiring


Wired = Annotated[Wiring, Depends(_wiring)]


@router.post(
    "/adapt",
    status_code=201,
    summary="Make a session from a support set",
    tags=["few-shot"],
    openapi_extra=ADAPT_BODY,
    responses=refusals(400, 408, 413, 415, 422, 503, 504),
)
async def adapt(request: Request, response: Response, wiring: Wired) -> AdaptAnswer:
    """Run the inner loop on labelled images; all of them are used, or none.

    In a form every **file field is an image and its field's name is the label**, and text
    fields are options, so that a class may be called `steps`.
    """
    with wiring.admitted():
        call = await read_adapt(request, wiring.body_limits)
        adapted = await wiring.in_thread(
            lambda: wiring.service.adapt(call.images, call.options, call.problems)
        )
    response.headers["Location"] = f"/sessions/{adapted.session.id}"
    response.headers["Server-Timing"] = answers.server_timing(adapted.timing)
    return answers.adapt_answer(adapted, wiring.service)


@router.post(
    "/predict",
    summary="Classify images with a session's adapted model",
    tags=["few-shot"],
    openapi_extra=PREDICT_BODY,
    responses=refusals(400, 404, 408, 409, 413, 415, 422, 503, 504),
)
async def predict(request: Request, response: Response, wiring: Wired) -> PredictAnswer:
    """Classify each image by itself: no other image of the call has a say in its prediction."""
    with wiring.admitted():
        call = await read_predict(request, wiring.body_limits)
        predicted = await wiring.in_thread(
            lambda: wiring.service.predict(call.session_id, call.images, call.top_k, call.problems)
        )
    response.headers["Server-Timing"] = answers.server_timing(predicted.timing)
    return answers.predict_answer(predicted, wiring.service)


@router.get(
    "/sessions/{session_id}",
    summary="Look at a session",
    tags=["sessions"],
    responses=refusals(404, 409),
)
def look_at_session(session_id: str, wiring: Wired) -> SessionInfo:
    """Looking at a session is no use of it: its end does not move."""
    session = wiring.service.session(session_id)
    return answers.session_info(session, wiring.service.checkpoint_of(session))


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    summary="Delete a session and all it holds",
    tags=["sessions"],
    responses=refusals(404),
)
def delete_session(session_id: str, wiring: Wired) -> None:
    """The session's tensors and labels are forgotten at once."""
    wiring.service.forget(session_id)


@router.get("/initializations", summary="What is loaded", tags=["initializations"])
def list_initializations(wiring: Wired) -> InitializationList:
    """The loaded initializations: data, measured accuracy, limits, identity, licence."""
    return answers.initialization_list(wiring.service)


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="Does the process answer", tags=["operation"])
async def alive() -> Status:
    """Answers as long as the process does."""
    return Status(status="alive")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Can work be taken on", tags=["operation"])
async def ready() -> Status:
    """Answers once every initialization is loaded and warm; the port opens only then."""
    return Status(status="ready")


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
