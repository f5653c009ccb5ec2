"""How `inkling evaluate` tells what it measured: as a table, as JSON, as a recorded result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .curves import curve_rows, curve_table

if TYPE_CHECKING:
    from rich.table import Table

    from ..checkpoints.checkpoint import Checkpoint
    from ..checkpoints.config import Result
    from ..training.adaptation_curve import AdaptationCurve
    from ..training.calibration import CalibrationWorth
    from ..training.evaluation import Evaluation, Interval, Setting


@dataclass(frozen=True)
class Measured:
    """What was measured of a checkpoint on one setting, after ``steps`` inner steps.

    ``worth`` is that of its calibration, None where the queries were classified transductively;
    ``warned`` has the shares of support sets that are warned about, by data, the split first.
    """

    checkpoint: Checkpoint
    split: str
    setting: Setting
    steps: int
    evaluation: Evaluation
    worth: CalibrationWorth | None
    warned: dict[str, float] | None
    curve: AdaptationCurve | None

    @cached_property
    def result(self) -> Result:
        """What is recorded in a checkpoint's config and card."""
        from ..checkpoints.config import Result

        setting, evaluation, worth = self.setting, self.evaluation, self.worth
        beside_head = evaluation.difference_to_head_alone
        return Result(
            split=self.split,
            n_way=setting.shape.n_way[0],
            n_shot=setting.shape.n_shot[0],
            n_query=setting.shape.n_query,
            episodes=setting.episodes,
            seed=setting.seed,
            accuracy=evaluation.accuracy.mean,
            interval=evaluation.accuracy.half_width,
            nearest_centroid=evaluation.nearest_centroid.mean,
            nearest_centroid_interval=evaluation.nearest_centroid.half_width,
            difference_to_head_alone=beside_head and beside_head.mean,
            difference_to_head_alone_interval=beside_head and beside_head.half_width,
            calibration_error=worth and worth.error,
            none_of_these_auroc=worth and worth.auroc,
            known_flagged=worth and worth.flagged,
            warned=self.warned,
            transductive=worth is None,
            by_group=None if evaluation.by_group is None else dict(evaluation.by_group),
        )

    def json(self) -> str:
        """One line of JSON: the result, and all that was measured beside it."""
        evaluation = self.evaluation
        intervals = {
            "difference": evaluation.difference,
            "zero_steps": evaluation.zero_steps,
            "difference_to_zero_steps": evaluation.difference_to_zero_steps,
            "head_alone": evaluation.head_alone,
            "pretrained_centroid": evaluation.pretrained_centroid,
            "difference_to_pretrained": evaluation.difference_to_pretrained,
        }
        row = {
            "checkpoint": self.checkpoint.name,
            "identity": self.checkpoint.identity,
            "steps": self.steps,
            **self.result.model_dump(),
        }
        for name, interval in intervals.items():
            if interval is not None:
                row |= {name: interval.mean, f"{name}_interval": interval.half_width}
        if self.curve is not None:
            row["curve"] = curve_rows(self.curve)
        return json.dumps(row)

    def tables(self) -> Iterator[Table]:
        """The same as a table, and the adaptation curve as another."""
        yield self._table()
        if self.curve is not None:
            yield curve_table(self.curve)

    def _table(self) -> Table:
        from rich.table import Table

        result = self.result
        kind = ", transductive" if result.transductive else ""
        table = Table(
            "classifier",
            "accuracy",
            "95 % interval",
            title=f"{self.checkpoint.name}{kind}: {result.n_way}-way {result.n_shot}-shot, "
            f"{result.n_query} queries a class, {result.episodes} episodes of {result.split} "
            f"classes, seed {result.seed}",
        )
        for name, interval in self._intervals():
            if interval is not None:
                mean, half_width = 100 * interval.mean, 100 * interval.half_width
                table.add_row(name, f"{mean:.2f} %", f"± {half_width:.2f}")
        for name, value in (
            ("calibration error", result.calibration_error),
            ("none-of-these AUROC", result.none_of_these_auroc),
            ("flagged, though of its classes", result.known_flagged),
        ):
            if value is not None:
                table.add_row(name, f"{value:.4f}", "")
        for data, share in (result.warned or {}).items():
            table.add_row(f"support sets warned about, {data}", f"{100 * share:.2f} %", "")
        return table

    def _intervals(self) -> tuple[tuple[str, Interval | None], ...]:
        evaluation = self.evaluation
        return (
            (f"adapted, {self.steps} steps", evaluation.accuracy),
            ("its start, 0 steps", evaluation.zero_steps),
            ("nearest centroid in its features", evaluation.nearest_centroid),
            ("difference to 0 steps, paired", evaluation.difference_to_zero_steps),
            ("steps of the head alone", evaluation.head_alone),
            ("difference to them, paired", evaluation.difference_to_head_alone),
            ("difference to nearest centroid, paired", evaluation.difference),
            ("nearest centroid in pre-trained features", evaluation.pretrained_centroid),
            ("difference to it, paired", evaluation.difference_to_pretrained),
        )
