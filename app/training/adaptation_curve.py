"""The adaptation curve: accuracy by number of inner steps, up to more than were trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .candidate import Candidate
from .evaluation import Interval, Setting, evaluate_by_step

CURVE_FACTOR = 2
"""How many times the trained number of steps an adaptation curve goes up to."""
CURVE_MARGIN = 0.005
"""How far below the trained number of steps an accuracy may lie and count as validated."""


@dataclass(frozen=True)
class AdaptationCurve:
    """The accuracies (shares in 0..1) after 0, 1, 2, ... inner steps on episodes of one kind."""

    label: str
    accuracies: Sequence[Interval]


def measure_curve(candidate: Candidate, setting: Setting) -> AdaptationCurve:
    """Measure the curve from 0 to `CURVE_FACTOR` times the initialization's own steps."""
    (n_way, _), (n_shot, _) = setting.shape.n_way, setting.shape.n_shot
    steps = CURVE_FACTOR * candidate.initialization.inner_loop.steps
    accuracies = evaluate_by_step(candidate, setting, steps=steps)
    return AdaptationCurve(f"{n_way}-way {n_shot}-shot", accuracies)


def validated_steps(curves: Sequence[AdaptationCurve], trained: int) -> int:
    """The largest number of steps up to which the curves, averaged, keep their trained level."""
    accuracy = [
        sum(interval.mean for interval in at) / len(at)
        for at in zip(*(curve.accuracies for curve in curves), strict=True)
    ]
    validated = trained
    for steps in range(trained + 1, len(accuracy)):
        if accuracy[steps] < accuracy[trained] - CURVE_MARGIN:
            break
        validated = steps
    return validated
