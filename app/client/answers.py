"""JSON of the server to `results`. What is not asked for here stays in their ``answer``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from .combining import class_results
from .results import (
    Adaptation,
    Candidate,
    Choice,
    Confused,
    Confusion,
    Evaluation,
    InitializationInfo,
    LabelProbability,
    Limits,
    MapPoint,
    Mistake,
    Notice,
    Prediction,
    Report,
    SessionInfo,
    Suspect,
)

Answer = Mapping[str, Any]


def session_info(answer: Answer) -> SessionInfo:
    """What `GET /sessions/{id}` tells."""
    return SessionInfo(**_session_fields(answer))


def adaptation(answer: Answer) -> Adaptation:
    """What a call that adapts answers."""
    return Adaptation(
        **_session_fields(answer),
        loss=tuple(answer["loss"]),
        support_accuracy=answer["support_accuracy"],
        choice=_choice(answer["choice"]),
        warnings=notices(answer["warnings"]),
        report=None if answer["report"] is None else report(answer["report"]),
    )


def _session_fields(answer: Answer) -> dict[str, Any]:
    return {
        "answer": answer,
        "session_id": answer["session_id"],
        "initialization": answer["initialization"]["name"],
        "labels": tuple(entry["label"] for entry in answer["classes"]),
        "images": {entry["label"]: entry["images"] for entry in answer["classes"]},
        **{
            name: answer[name]
            for name in ("steps", "version", "views", "keeps_support", "ttl_seconds")
        },
        **{
            name: datetime.fromisoformat(answer[name])
            for name in ("created_at", "expires_at", "ends_at")
        },
    }


def _choice(told: Answer | None) -> Choice | None:
    if told is None:
        return None
    candidates = tuple(
        Candidate(each["name"], each["resemblance"], each["unlikeness"])
        for each in told["candidates"]
    )
    return Choice(told["chosen"], told["reason"], candidates)


def notices(told: Iterable[Answer]) -> tuple[Notice, ...]:
    """Warnings."""
    return tuple(Notice(each["code"], each["message"]) for each in told)


def report(told: Answer, embedding: Answer | None = None) -> Report:
    """A report on a support set, with its map where there is one."""
    return Report(
        method=told["method"],
        n_checked=told["n_checked"],
        accuracy=told["accuracy"],
        confusion=_confusion(told["confusion"]),
        confused=tuple(
            Confused(each["label"], each["taken_for"], each["images"]) for each in told["confused"]
        ),
        suspects=tuple(
            Suspect(
                each["position"],
                each["label"],
                each["looks_like"],
                each["margin"],
                each["probability"],
            )
            for each in told["suspects"]
        ),
        not_checkable=tuple(told["not_checkable"]),
        embedding=None if embedding is None else _points(embedding["points"]),
    )


def _points(told: Iterable[Answer]) -> tuple[MapPoint, ...]:
    return tuple(MapPoint(each["position"], each["label"], each["x"], each["y"]) for each in told)


def _confusion(told: Answer) -> Confusion:
    return Confusion(tuple(told["labels"]), tuple(map(tuple, told["counts"])))


def predictions(answer: Answer, sources: Sequence[str | None]) -> list[Prediction]:
    """Predictions of the images that ``sources`` name."""
    return [
        Prediction(
            label=told["label"],
            probability=told["probability"],
            ranking=tuple(
                LabelProbability(entry["label"], entry["probability"])
                for entry in told["probabilities"]
            ),
            none_of_these=(told["none_of_these"] or {}).get("likely"),
            score=(told["none_of_these"] or {}).get("score"),
            source=source,
        )
        for told, source in zip(answer["predictions"], sources, strict=True)
    ]


def evaluation(
    answer: Answer, positions: Sequence[int], sources: Sequence[str | None]
) -> Evaluation:
    """What an evaluation tells of the queries at ``positions``, of the names ``sources``."""
    confusion = _confusion(answer["confusion"])
    return Evaluation(
        answer=answer,
        n_images=answer["n_images"],
        accuracy=answer["accuracy"],
        classes=class_results(confusion),
        confusion=confusion,
        mistakes=tuple(
            Mistake(
                positions[each["index"]],
                each["label"],
                each["predicted"],
                each["probability"],
                sources[each["index"]],
            )
            for each in answer["mistakes"]
        ),
        log_loss=answer["log_loss"],
        calibration_error=answer["calibration_error"],
        none_of_these=answer["none_of_these"],
        warnings=notices(answer["warnings"]),
    )


def initialization(answer: Answer) -> InitializationInfo:
    """One of those that `GET /initializations` lists."""
    names = [each.name for each in fields(InitializationInfo) if each.name != "answer"]
    return InitializationInfo(answer, **{name: answer[name] for name in names})


def limits(answer: Answer) -> Limits:
    """What `GET /initializations` tells of them; a server's defaults where it does not."""
    told = answer.get("limits") or {}
    names = {each.name for each in fields(Limits)}
    return Limits(**{name: value for name, value in told.items() if name in names})
