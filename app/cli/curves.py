"""How `inkling evaluate` tells an adaptation curve: as a table, as JSON, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from ..checkpoints.checkpoint import Checkpoint
    from ..training.adaptation_curve import AdaptationCurve


def check_picture(path: Path) -> None:
    """Refuse a picture that cannot be written, before the work that it shows."""
    import matplotlib.figure  # noqa: F401

    if path.suffix.lower() != ".png":
        raise typer.BadParameter(f"--curve: expected a file name ending in .png, got {path}")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"--curve: expected an existing folder, got {path.parent}")


def draw_curves(
    path: Path, curves: Sequence[AdaptationCurve], loaded: Checkpoint, classes: str
) -> None:
    """Draw the curves of a checkpoint on some ``classes``."""
    from ..checkpoints.tensor_files import write_file
    from ..training.figures import adaptation_curves

    inner_loop = loaded.config.inner_loop
    picture = adaptation_curves(
        curves, trained=inner_loop.steps, validated=inner_loop.max_steps, classes=classes
    )
    write_file(path, picture)


def curve_rows(curve: AdaptationCurve) -> list[dict[str, Any]]:
    """A curve as JSON: accuracies in 0..1 with the half-widths of their 95 % intervals."""
    return [
        {"steps": steps, "accuracy": accuracy.mean, "interval": accuracy.half_width}
        for steps, accuracy in enumerate(curve.accuracies)
    ]


def curve_table(curve: AdaptationCurve) -> Table:
    """A curve as a table."""
    from rich.table import Table

    table = Table("inner steps", "accuracy", "95 % interval", title=f"{curve.label} by inner step")
    for steps, accuracy in enumerate(curve.accuracies):
        mean, half_width = 100 * accuracy.mean, 100 * accuracy.half_width
        table.add_row(str(steps), f"{mean:.2f} %", f"± {half_width:.2f}")
    return table
