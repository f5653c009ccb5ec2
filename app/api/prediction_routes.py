"""Routes that classify: queries, and images with labels, which measure a session."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ..service.check_session import check_session
from ..service.evaluate import evaluate
from ..service.predict import predict
from . import responses
from .openapi import EVALUATE_BODY, PREDICT_BODY, REPORT_BODY, refusals
from .query import StrictRoute
from .requests import read_check, read_evaluate, read_predict
from .schemas import EvaluateAnswer, PredictAnswer, ReportAnswer
from .session_ids import PathId, session_id_of
from .state import entered

router = APIRouter(route_class=StrictRoute)


@router.post(
    "/predict",
    summary="Classify images with a session's adapted model",
    tags=["few-shot"],
    openapi_extra=PREDICT_BODY,
    response_model=PredictAnswer,
    responses=refusals(400, 401, 404, 408, 409, 413, 415, 422, 503, 504),
)
async def predict_queries(request: Request) -> Response:
    """Classify each image by itself: no other image of the call has a say in its prediction."""
    state, tenant = entered(request)
    call = await read_predict(request, state.body_limits, tenant)
    predicted = await predict(state.service, call)
    request.state.timing = predicted.timing
    headers = {"Server-Timing": responses.server_timing(predicted.timing)}
    answer = responses.predict_answer(predicted, state.service)
    return Response(answer.model_dump_json(), 200, headers, media_type="application/json")


@router.post(
    "/sessions/{session_id}/evaluate",
    summary="Measure a session on labelled queries",
    tags=["sessions"],
    openapi_extra=EVALUATE_BODY,
    responses=refusals(400, 401, 404, 408, 409, 413, 415, 422, 503, 504),
)
async def evaluate_queries(
    session_id: PathId, request: Request, response: Response
) -> EvaluateAnswer:
    """Classify images whose labels are known: accuracy, confusion and calibration."""
    state, tenant = entered(request)
    known_id = session_id_of(session_id)
    call = await read_evaluate(request, state.body_limits, known_id, tenant)
    evaluated = await evaluate(state.service, call)
    request.state.timing = evaluated.predicted.timing
    response.headers["Server-Timing"] = responses.server_timing(evaluated.predicted.timing)
    return responses.evaluate_answer(evaluated, state.service)


@router.post(
    "/sessions/{session_id}/report",
    summary="Check a session's support set against itself",
    tags=["sessions"],
    openapi_extra=REPORT_BODY,
    responses=refusals(400, 401, 404, 408, 409, 413, 415, 422, 429, 503, 504),
)
async def report_on_session(
    session_id: PathId, request: Request, response: Response
) -> ReportAnswer:
    """Hold each support image out in turn, and classify it by what the others make of its class.

    The session stays as it is. With `embedding` its images are laid out in a plane as well.
    """
    state, tenant = entered(request)
    known_id = session_id_of(session_id)
    call = await read_check(request, state.body_limits, known_id, tenant)
    checked = await check_session(state.service, call)
    request.state.timing = checked.timing
    response.headers["Server-Timing"] = responses.server_timing(checked.timing)
    return responses.report_answer(checked, state.service)
