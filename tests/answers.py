"""What may differ between answers to one call that were computed in different company."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

PROBABILITY_TOLERANCE = 1e-5
TIE = 2e-5
"""Labels may differ where the two highest probabilities lie this close to each other."""


def assert_alike(found: Sequence[Any], expected: Sequence[Any]) -> None:
    """Compare the predictions of two answers as closely as the documentation promises."""
    assert len(found) == len(expected)
    for prediction, reference in zip(found, expected, strict=True):
        wanted = probabilities(reference)
        assert probabilities(prediction) == pytest.approx(wanted, abs=PROBABILITY_TOLERANCE)
        assert wanted[prediction["label"]] >= max(wanted.values()) - TIE
        scores = [answer.get("none_of_these") for answer in (prediction, reference)]
        if None in scores:
            assert scores == [None, None]
        else:
            score = pytest.approx(scores[1]["score"], abs=PROBABILITY_TOLERANCE)
            assert scores[0]["score"] == score


def probabilities(prediction: Any) -> dict[str, float]:
    """The probabilities of a prediction by label."""
    return {entry["label"]: entry["probability"] for entry in prediction["probabilities"]}
