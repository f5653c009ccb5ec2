"""Measuring a session on images whose labels are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..errors import Problem
from ..meta.scores import expected_calibration_error
from .predict import predict
from .service import Service
from .validation import clean_labels
from .values import Confusion, EvaluateCall, Evaluated, PredictCall, Predicted, SentImage

LEAST_PROBABILITY = 1e-12
"""What the log loss takes a probability of 0 for."""


async def evaluate(service: Service, call: EvaluateCall) -> Evaluated:
    """Classify labelled images, and tell how well that went.

    Raises as `predict` does; a label that is none of the session's is InvalidInput.
    """
    session = await service.storage.read(call.session_id, call.tenant)
    labels, label_problems = clean_labels(call.images)
    unknown = [
        Problem(
            "unknown_label",
            f"expected one of the session's labels, got {label!r}",
            image.field,
            image.index,
        )
        for image, label in zip(call.images, labels, strict=True)
        if label not in session.labels
    ]
    problems = [*call.problems, *label_problems, *unknown]
    queries = PredictCall(call.session_id, call.images, None, problems, call.tenant)
    return _measured(await predict(service, queries), call.images, labels)


def _measured(
    predicted: Predicted, images: Sequence[SentImage], labels: Sequence[str]
) -> Evaluated:
    names = predicted.session.labels
    positions = {name: position for position, name in enumerate(names)}
    top = [ranked.labels[0] for ranked in predicted.predictions]
    of_label = [
        dict(ranked.labels)[label]
        for ranked, label in zip(predicted.predictions, labels, strict=True)
    ]
    log_likelihood = sum(math.log(max(share, LEAST_PROBABILITY)) for share in of_label)
    right = [guess == label for (guess, _), label in zip(top, labels, strict=True)]
    return Evaluated(
        predicted=predicted,
        images=tuple(images),
        truth=tuple(labels),
        confusion=Confusion.of(
            names,
            [positions[label] for label in labels],
            [positions[guess] for guess, _ in top],
        ),
        log_loss=-log_likelihood / len(labels),
        calibration_error=expected_calibration_error(
            torch.tensor([probability for _, probability in top]), torch.tensor(right)
        ),
    )
