"""Pictures of a training run as PNG files: its learning curve and its adaptation curves.

They are drawn by matplotlib's objects on an Agg canvas, without pyplot's global state. Serving
imports none of this.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .adaptation_curve import AdaptationCurve

PANEL_WIDTH, PANEL_HEIGHT, DOTS_PER_INCH = 5.0, 5.5, 120
"""Inches, inches, and pixels an inch."""
SMOOTHED_SHARE = 0.02
"""The share of a stage's updates that a running mean goes over."""
LOSS_COLOUR, TRAINING_COLOUR, VALIDATION_COLOUR = "tab:gray", "tab:blue", "tab:orange"

Update = dict[str, Any]
"""One entry of a run's log: the fields of `Progress`, and the time."""


def read_log(path: Path) -> list[list[Update]]:
    """The updates of each stage in a run's log, in order; none where there is no log.

    A run that was stopped repeats updates when it goes on: an entry replaces all earlier entries
    from its own update on. A line that a crash cut short is left out.
    """
    if not path.exists():
        return []
    updates: list[Update] = []
    for line in path.read_text().splitlines():
        try:
            update = json.loads(line)
        except json.JSONDecodeError:
            continue
        while updates and _update_number(updates[-1]) >= _update_number(update):
            updates.pop()
        updates.append(update)
    return [
        list(stage)
        for _, stage in itertools.groupby(updates, lambda update: _update_number(update)[0])
    ]


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The means over every ``window`` values in a row: ``len(values) - window + 1`` of them."""
    means: list[float] = np.convolve(values, np.full(window, 1 / window), "valid").tolist()
    return means


def learning_curve(stages: Sequence[Sequence[Update]]) -> bytes:
    """Draw what `read_log` gave: a panel for each stage, with its loss above its accuracies.

    Loss (nats) and accuracy of training are running means; accuracy on validation classes is
    as measured, by nearest centroid in pre-training and after adaptation in meta-training.
    """
    size = (PANEL_WIDTH * len(stages), PANEL_HEIGHT)
    figure = Figure(size, DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(2, len(stages), sharex="col", squeeze=False)
    for (loss, accuracy), stage in zip(panels.T, stages, strict=True):
        loss.set_title(f"{stage[0]['stage_number'] + 1}. {stage[0]['stage']}")
        _draw_smoothed(loss, stage, "loss", LOSS_COLOUR)
        loss.set_ylabel("training loss (nats)")
        _draw_smoothed(accuracy, stage, "accuracy", TRAINING_COLOUR)
        measured = [update for update in stage if update["validation"] is not None]
        accuracy.plot(
            [update["iteration"] for update in measured],
            [100 * update["validation"] for update in measured],
            color=VALIDATION_COLOUR,
            marker=".",
            label="validation classes",
        )
        accuracy.set_xlabel("updates")
        accuracy.set_ylabel("accuracy (%)")
        accuracy.legend()
        for axes in (loss, accuracy):
            axes.grid(alpha=0.3)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _png(figure)


def adaptation_curves(
    curves: Sequence[AdaptationCurve], *, trained: int, validated: int, classes: str
) -> bytes:
    """Draw accuracy on some ``classes`` by inner step with its 95 % band, a line for each curve.

    Vertical lines mark the trained number of steps and the most that was validated.
    """
    figure = Figure((1.4 * PANEL_WIDTH, PANEL_HEIGHT), DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        steps = range(len(curve.accuracies))
        mean = np.array([100 * interval.mean for interval in curve.accuracies])
        half_width = np.array([100 * interval.half_width for interval in curve.accuracies])
        (line,) = axes.plot(steps, mean, marker=".", label=curve.label)
        axes.fill_between(
            steps, mean - half_width, mean + half_width, color=line.get_color(), alpha=0.2, lw=0
        )
    axes.axvline(trained, color="black", ls="--", lw=1, label=f"trained: {trained} steps")
    axes.axvline(validated, color="black", ls=":", lw=1, label=f"validated: up to {validated}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("inner steps")
    axes.set_ylabel(f"accuracy on {classes} classes (%)")
    axes.grid(alpha=0.3)
    axes.legend()
    return _png(figure)


def _draw_smoothed(axes: Axes, stage: Sequence[Update], key: str, colour: str) -> None:
    window = max(1, round(SMOOTHED_SHARE * len(stage)))
    scale = 100 if key == "accuracy" else 1
    axes.plot(
        [update["iteration"] for update in stage[window - 1 :]],
        running_mean([scale * update[key] for update in stage], window),
        color=colour,
        label=f"training, mean of {window}" if window > 1 else "training",
    )


def _update_number(update: Update) -> tuple[int, int]:
    return update["stage_number"], update["iteration"]


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(content, format="png", dpi="figure")
    return content.getvalue()
