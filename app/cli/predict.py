"""`inkling predict`: what images show, as a table, JSON or CSV, and sorted into folders."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..client import Predictions
from . import session_names
from .chosen_server import KeyFile, NoShrink, Place, Server
from .sessions import SessionArgument
from .sorting import copy_by_label

Format = Literal["table", "json", "csv"]


def predict(
    session: SessionArgument,
    images: Annotated[list[Path], typer.Argument(help="Images, folders and zip archives.")],
    format: Annotated[Format, typer.Option("--format", help="What is printed.")] = "table",  # noqa: A002
    copy_to: Annotated[
        Path | None,
        typer.Option(
            "--copy-to",
            help="Copy each image into a folder in there that is named after its label; "
            "nothing is overwritten.",
        ),
    ] = None,
    server: Server = None,
    api_key_file: KeyFile = None,
    no_shrink: NoShrink = False,
) -> None:
    """Classify images with a session; ends with status 1 where some could not be used."""
    named = session_names.named(session, server)
    with Place(named.server, api_key_file, not no_shrink).client() as client:
        predicted = client.predict(named.session_id, images, leave_out=True)
    {"table": _print_table, "json": _print_json, "csv": _print_csv}[format](predicted)
    for notice in predicted.warnings:
        typer.echo(f"inkling: {notice.message}", err=True)
    for image in predicted.left_out:
        typer.echo(f"inkling: left out {image.source}: {image.message}", err=True)
    if copy_to is not None:
        n_copied, n_there = copy_by_label(images, predicted, copy_to)
        there = f", {n_there} there already" if n_there else ""
        typer.echo(f"inkling: {n_copied} images copied into {copy_to}{there}", err=True)
    if predicted.left_out:
        raise typer.Exit(1)


def _print_table(predicted: Predictions) -> None:
    rows = [
        (
            str(each.source),
            each.label,
            f"{each.probability:.1%}",
            "probably none of these" if each.none_of_these else "",
        )
        for each in predicted
    ]
    rows.insert(0, ("image", "label", "probability", ""))
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    for row in rows:
        image, label, probability, note = row
        cells = f"{image:<{widths[0]}}  {label:<{widths[1]}}  {probability:>{widths[2]}}  {note}"
        typer.echo(cells.rstrip())


def _print_json(predicted: Predictions) -> None:
    told = {
        "predictions": [
            {
                "image": each.source,
                "label": each.label,
                "probability": each.probability,
                "none_of_these": each.none_of_these,
                "score": each.score,
                "probabilities": {entry.label: entry.probability for entry in each.ranking},
            }
            for each in predicted
        ],
        "warnings": [vars(notice) for notice in predicted.warnings],
    }
    typer.echo(json.dumps(told, ensure_ascii=False))


def _print_csv(predicted: Predictions) -> None:
    rows: Sequence[Sequence[object]] = [
        (each.source, each.label, each.probability, each.none_of_these, each.score)
        for each in predicted
    ]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("image", "label", "probability", "none_of_these", "score"))
    writer.writerows(rows)
