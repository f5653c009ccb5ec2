"""`inkling learned-from`: note what a checkpoint learned from, where it does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..data.sources import ClassFiles, DataFormat, Split

if TYPE_CHECKING:
    from rich.console import Console

    from ..checkpoints.learned_from import LearnedFrom


def learned_from(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint folder, which is changed.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set that it learned from.")],
    data_format: Annotated[DataFormat, typer.Option(help="How the data is laid out.")] = "omniglot",
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            help="A class, such as groceries/banana, that it did not learn; again for more."
        ),
    ] = None,
    in_part: Annotated[
        bool,
        typer.Option(
            "--in-part", help="It learned from more than this, as by the weights of a backbone."
        ),
    ] = False,
) -> None:
    """Note the classes and files that a checkpoint learned from, and was chosen by.

    No evaluation and no calibration is on these then. What it tells already stays noted; its
    identity stays.
    """
    from rich.console import Console
    from rich.progress import track

    from ..checkpoints.checkpoint import load_checkpoint, record_learned_from
    from ..checkpoints.learned_from import LearnedFrom, read_learned_from
    from ..training.datasets import read_split, without

    config = load_checkpoint(checkpoint).config
    groups = config.provenance.validation_groups
    console = Console(stderr=True)

    def read(split: Split, left_out: Sequence[str]) -> list[ClassFiles]:
        encoded = without(read_split(data_format, data, split, groups), left_out)
        watched = track(encoded, f"reading {split} classes", console=console)
        return [each.listed for each in watched]

    noted = read_learned_from(checkpoint, config) or LearnedFrom()
    noted = noted.trained_on(read("train", leave_out or [])).chosen_on(read("validation", []))
    noted = replace(noted, whole=noted.whole and not in_part)
    record_learned_from(checkpoint, noted)
    typer.echo(
        f"The checkpoint learned from {len(noted.trained.files):,} files of "
        f"{len(noted.trained.classes):,} classes, and was chosen by {len(noted.chosen_by.files):,}."
    )


def told_learned_from(folder: Path, console: Console) -> LearnedFrom:
    """What the checkpoint in a folder learned from; says so where it does not tell all of it."""
    from ..checkpoints.checkpoint import load_checkpoint
    from ..checkpoints.learned_from import UNKNOWN, read_learned_from

    config = load_checkpoint(folder).config
    learned = read_learned_from(folder, config)
    if learned is None:
        console.print(
            f"{config.name} does not tell which files it learned from, so that a test on these is "
            "not noticed: note them with inkling learned-from."
        )
    elif not learned.whole:
        console.print(
            f"{config.name} also learned from files that are not known one by one "
            f"({config.provenance.data}): a test on these is not noticed."
        )
    return learned or UNKNOWN
