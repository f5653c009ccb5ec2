"""Values of the service to what goes over the wire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ..checkpoints.checkpoint import Checkpoint
from ..service import Adapted, Predicted, Service, Timing, Warned
from ..sessions.session import Session
from .schemas import (
    AdaptAnswer,
    ClassInfo,
    InitializationInfo,
    InitializationList,
    InitializationRef,
    LabelProbability,
    Measured,
    NoneOfThese,
    PredictAnswer,
    Prediction,
    SessionInfo,
    TimingInfo,
    WarningInfo,
)


def adapt_answer(adapted: Adapted, service: Service) -> AdaptAnswer:
    """The answer to an adaptation."""
    return AdaptAnswer(
        **dict(session_info(adapted.session, adapted.checkpoint)),
        loss=list(adapted.losses),
        support_accuracy=adapted.support_accuracy,
        warnings=_warnings(adapted.warnings),
        device=service.device_name,
        executor=service.executor,
        timing=_timing(adapted.timing),
    )


def predict_answer(predicted: Predicted, service: Service) -> PredictAnswer:
    """The answer to a prediction."""
    return PredictAnswer(
        session_id=predicted.session.id,
        initialization=_reference(predicted.checkpoint),
        expires_at=_moment(predicted.session.expires_at),
        predictions=[
            Prediction(
                label=ranked.labels[0][0],
                probability=ranked.labels[0][1],
                probabilities=[
                    LabelProbability(label=label, probability=probability)
                    for label, probability in ranked.labels
                ],
                none_of_these=_none_of_these(ranked.none_of_these),
            )
            for ranked in predicted.predictions
        ],
        warnings=_warnings(predicted.warnings),
        device=service.device_name,
        executor=service.executor,
        timing=_timing(predicted.timing),
    )


def session_info(session: Session, checkpoint: Checkpoint) -> SessionInfo:
    """What there is to know of a session."""
    return SessionInfo(
        session_id=session.id,
        initialization=_reference(checkpoint),
        classes=[
            ClassInfo(label=label, images=count)
            for label, count in zip(session.labels, session.image_counts, strict=True)
        ],
        steps=session.steps,
        created_at=_moment(session.created_at),
        expires_at=_moment(session.expires_at),
        ends_at=_moment(session.ends_at),
        ttl_seconds=session.ttl_seconds,
    )


def initialization_list(service: Service) -> InitializationList:
    """What is loaded."""
    return InitializationList(
        initializations=[
            _initialization(checkpoint, service) for checkpoint in service.checkpoints.values()
        ],
        device=service.device_name,
        executor=service.executor,
    )


def server_timing(timing: Timing) -> str:
    """The Server-Timing header: queue, decode, compute and store in milliseconds."""
    return ", ".join(
        f"{part};dur={1000 * getattr(timing, part):.2f}"
        for part in ("queue", "decode", "compute", "store")
    )


def _initialization(checkpoint: Checkpoint, service: Service) -> InitializationInfo:
    config = checkpoint.config
    return InitializationInfo(
        name=checkpoint.name,
        identity=checkpoint.identity,
        default=checkpoint.name == service.default_initialization,
        description=config.description,
        network=config.network.name,
        learned_from=config.provenance.data,
        licence=config.provenance.licence,
        steps=config.inner_loop.steps,
        max_steps=config.inner_loop.max_steps,
        max_classes=service.limits.max_classes,
        input_shape=list(checkpoint.network.input_shape),
        measured=[
            Measured(**result.model_dump(include=set(Measured.model_fields)))
            for result in config.results
            if not result.transductive
        ],
    )


def _none_of_these(score: float | None) -> NoneOfThese | None:
    return None if score is None else NoneOfThese(score=score, likely=score > 1)


def _warnings(found: Sequence[Warned]) -> list[WarningInfo]:
    return [WarningInfo(code=warned.code, message=warned.message) for warned in found]


def _reference(checkpoint: Checkpoint) -> InitializationRef:
    return InitializationRef(name=checkpoint.name, identity=checkpoint.identity)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _timing(timing: Timing) -> TimingInfo:
    return TimingInfo(
        decode_ms=round(timing.decode * 1000, 3),
        queue_ms=round(timing.queue * 1000, 3),
        compute_ms=round(timing.compute * 1000, 3),
        store_ms=round(timing.store * 1000, 3),
    )
