"""Values of the service to responses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ..engine.handle import Handle
from ..engine.work import Timing
from ..service.registry import Registry
from ..service.service import Service
from ..service.values import (
    Adapted,
    Checked,
    Choice,
    Confusion,
    Evaluated,
    Notice,
    Predicted,
    Report,
    Restored,
    Suspect,
)
from ..sessions.session import Page, SessionFacts
from .schemas import (
    AdaptAnswer,
    CandidateInfo,
    ChoiceInfo,
    ClassInfo,
    ClassResult,
    ConfusedInfo,
    ConfusionInfo,
    EmbeddingInfo,
    EvaluateAnswer,
    InitializationInfo,
    InitializationList,
    InitializationRef,
    LabelProbability,
    LimitsInfo,
    Measured,
    Mistake,
    NoneOfThese,
    PlaceInfo,
    PredictAnswer,
    Prediction,
    ReportAnswer,
    ReportInfo,
    RestoredAnswer,
    SessionInfo,
    SessionList,
    SuspectInfo,
    TimingInfo,
    WarningInfo,
)


def adapt_answer(adapted: Adapted, service: Service) -> AdaptAnswer:
    """The answer to an adaptation."""
    return AdaptAnswer(
        **dict(session_info(adapted.session, service.registry)),
        loss=list(adapted.losses),
        support_accuracy=adapted.support_accuracy,
        choice=None if adapted.choice is None else _choice(adapted.choice),
        warnings=_warnings(adapted.warnings),
        report=None if adapted.report is None else _report(adapted.report),
        device=service.engine.device_name,
        executor=adapted.handle.executor.name,
        timing=_timing(adapted.timing),
    )


def predict_answer(predicted: Predicted, service: Service) -> PredictAnswer:
    """The answer to a prediction."""
    return PredictAnswer(
        session_id=predicted.session.id,
        initialization=_reference(predicted.handle),
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
        device=service.engine.device_name,
        executor=predicted.handle.executor.name,
        timing=_timing(predicted.timing),
    )


def evaluate_answer(evaluated: Evaluated, service: Service) -> EvaluateAnswer:
    """The answer to labelled queries."""
    predicted, confusion = evaluated.predicted, evaluated.confusion
    found = list(zip(evaluated.images, evaluated.truth, predicted.predictions, strict=True))
    apart = [p.none_of_these > 1 for p in predicted.predictions if p.none_of_these is not None]
    right = sum(confusion.counts[i][i] for i in range(len(confusion.labels)))
    return EvaluateAnswer(
        session_id=predicted.session.id,
        initialization=_reference(predicted.handle),
        expires_at=_moment(predicted.session.expires_at),
        n_images=len(found),
        accuracy=right / len(found),
        classes=[
            ClassResult(
                label=label,
                images=sum(row),
                precision=_share(row[place], sum(other[place] for other in confusion.counts)),
                recall=_share(row[place], sum(row)),
            )
            for place, (label, row) in enumerate(
                zip(confusion.labels, confusion.counts, strict=True)
            )
        ],
        confusion=_confusion(confusion),
        mistakes=[
            Mistake(
                field=image.field,
                index=image.index,
                label=label,
                predicted=ranked.labels[0][0],
                probability=ranked.labels[0][1],
            )
            for image, label, ranked in found
            if ranked.labels[0][0] != label
        ],
        log_loss=evaluated.log_loss,
        calibration_error=evaluated.calibration_error,
        none_of_these=sum(apart) / len(apart) if apart else None,
        warnings=_warnings(predicted.warnings),
        device=service.engine.device_name,
        executor=predicted.handle.executor.name,
        timing=_timing(predicted.timing),
    )


def report_answer(checked: Checked, service: Service) -> ReportAnswer:
    """The answer to a call for a report."""
    return ReportAnswer(
        session_id=checked.session.id,
        initialization=_reference(checked.handle),
        version=checked.session.version,
        expires_at=_moment(checked.session.expires_at),
        report=_report(checked.report),
        embedding=_embedding(checked),
        device=service.engine.device_name,
        executor=checked.handle.executor.name,
        timing=_timing(checked.timing),
    )


def restored_answer(restored: Restored, registry: Registry) -> RestoredAnswer:
    """The answer to the file of a session."""
    return RestoredAnswer(
        **dict(session_info(restored.session, registry)), warnings=_warnings(restored.warnings)
    )


def session_list(page: Page, registry: Registry) -> SessionList:
    """A page of sessions; those whose initialization is not loaded stand among them."""
    return SessionList(
        sessions=[session_info(facts, registry) for facts in page.sessions], next=page.next
    )


def session_info(session: SessionFacts, registry: Registry) -> SessionInfo:
    """What there is to know of a session."""
    return SessionInfo(
        session_id=session.id,
        initialization=InitializationRef(name=registry.name_of(session), identity=session.identity),
        classes=[
            ClassInfo(label=label, images=count)
            for label, count in zip(session.labels, session.image_counts, strict=True)
        ],
        steps=session.steps,
        views=session.n_views,
        version=session.version,
        keeps_support=session.keeps_support,
        created_at=_moment(session.created_at),
        expires_at=_moment(session.expires_at),
        ends_at=_moment(session.ends_at),
        ttl_seconds=session.ttl_seconds,
    )


def initialization_list(service: Service, max_body_bytes: int) -> InitializationList:
    """What is loaded, and what calls may have."""
    limits = service.limits
    return InitializationList(
        initializations=[
            _initialization(handle, service) for handle in service.registry.by_name.values()
        ],
        default=service.registry.default,
        limits=LimitsInfo(
            max_body_bytes=max_body_bytes,
            max_support_images=limits.max_support_images,
            max_query_images=limits.max_query_images,
            max_classes=limits.max_classes,
            default_ttl_seconds=limits.default_ttl_seconds,
            max_ttl_seconds=limits.max_ttl_seconds,
            may_keep_support=limits.may_keep_support,
        ),
        device=service.engine.device_name,
    )


def server_timing(timing: Timing) -> str:
    """The Server-Timing header: queue, decode, compute and store in milliseconds."""
    return ", ".join(
        f"{part};dur={1000 * getattr(timing, part):.2f}"
        for part in ("queue", "decode", "compute", "store")
    )


def _initialization(handle: Handle, service: Service) -> InitializationInfo:
    config = handle.checkpoint.config
    return InitializationInfo(
        name=handle.name,
        identity=handle.identity,
        default=handle.name == service.registry.default,
        description=config.description,
        network=config.network.name,
        preprocessing=handle.preprocessing_name,
        learned_from=config.provenance.data,
        licence=config.provenance.licence,
        steps=config.inner_loop.steps,
        max_steps=config.inner_loop.max_steps,
        views=handle.n_views,
        max_views=handle.allowed_views[-1],
        max_classes=service.limits.max_classes,
        executor=handle.executor.name,
        input_shape=list(handle.checkpoint.network.input_shape),
        measured=[
            Measured(**result.model_dump(include=set(Measured.model_fields)))
            for result in config.results
            if not result.transductive
        ],
    )


def _choice(choice: Choice) -> ChoiceInfo:
    return ChoiceInfo(
        chosen=choice.handle.name,
        reason=choice.reason,
        candidates=[
            CandidateInfo(
                name=candidate.handle.name,
                identity=candidate.handle.identity,
                preprocessing=candidate.handle.preprocessing_name,
                resemblance=candidate.resemblance,
                unlikeness=candidate.unlikeness,
            )
            for candidate in choice.candidates
        ],
    )


def _report(report: Report) -> ReportInfo:
    return ReportInfo(
        method=report.method,
        n_checked=report.n_checked,
        accuracy=report.accuracy,
        confusion=_confusion(report.confusion),
        confused=[
            ConfusedInfo(label=pair.label, taken_for=pair.taken_for, images=pair.images)
            for pair in report.confusion.confused()
        ],
        suspects=[_suspect(suspect) for suspect in report.suspects],
        not_checkable=list(report.not_checkable),
    )


def _embedding(checked: Checked) -> EmbeddingInfo | None:
    if checked.places is None:
        return None
    labelled = zip(checked.labels, checked.places, strict=True)
    return EmbeddingInfo(
        points=[
            PlaceInfo(position=position, label=label, x=x, y=y)
            for position, (label, (x, y)) in enumerate(labelled)
        ]
    )


def _suspect(suspect: Suspect) -> SuspectInfo:
    return SuspectInfo(
        position=suspect.position,
        field=None if suspect.image is None else suspect.image.field,
        index=None if suspect.image is None else suspect.image.index,
        label=suspect.label,
        looks_like=suspect.looks_like,
        margin=suspect.margin,
        probability=suspect.probability,
    )


def _confusion(confusion: Confusion) -> ConfusionInfo:
    return ConfusionInfo(
        labels=list(confusion.labels), counts=[list(row) for row in confusion.counts]
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _none_of_these(score: float | None) -> NoneOfThese | None:
    return None if score is None else NoneOfThese(score=score, likely=score > 1)


def _warnings(found: Sequence[Notice]) -> list[WarningInfo]:
    return [WarningInfo(code=warned.code, message=warned.message) for warned in found]


def _reference(handle: Handle) -> InitializationRef:
    return InitializationRef(name=handle.name, identity=handle.identity)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _timing(timing: Timing) -> TimingInfo:
    return TimingInfo(
        decode_ms=round(timing.decode * 1000, 3),
        queue_ms=round(timing.queue * 1000, 3),
        compute_ms=round(timing.compute * 1000, 3),
        store_ms=round(timing.store * 1000, 3),
    )
