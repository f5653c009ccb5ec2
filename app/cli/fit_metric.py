"""`inkling fit-metric`: what the photographs of many domains teach a backbone's metric."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..data.sources import DataFormat
from .image_cache import CacheOption, cache_folder


def fit_metric(
    checkpoint: Annotated[
        Path, typer.Argument(help="A checkpoint folder of import-backbone, which is changed.")
    ],
    data: Annotated[Path, typer.Option(help="Folder of the data set; its training split is read.")],
    data_format: Annotated[DataFormat, typer.Option(help="How the data is laid out.")] = "domains",
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            help="A class, such as groceries/banana, that is not learned; again for more."
        ),
    ] = None,
    description: Annotated[str | None, typer.Option(help="What the card says it is for.")] = None,
    licence: Annotated[str, typer.Option(help="Of the data, for the card.")] = "not stated",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    cache: CacheOption = None,
) -> None:
    """Fit the metric of a backbone's features in closed form, on classes of many domains.

    The checkpoint's identity changes, and its calibration and results are dropped.
    """
    import torch
    from rich.console import Console
    from rich.progress import track

    from ..checkpoints.checkpoint import load_checkpoint
    from ..training.datasets import preprocess_classes, read_split, without
    from ..training.metric import network_with_metric, pooled, record_metric

    torch.set_num_threads(threads)
    loaded = load_checkpoint(checkpoint)
    network_with_metric(loaded)
    console = Console(stderr=True)
    left_out = leave_out or []
    encoded = without(read_split(data_format, data, "train", []), left_out)
    watched = track(encoded, description="reading train classes", console=console)
    images = preprocess_classes(watched, loaded.preprocessing, data_format, cache_folder(cache))
    classes = list(
        track(
            pooled(loaded, images),
            total=len(images.names),
            description="features of train classes",
            console=console,
        )
    )
    told = f"{data_format} in {data.name}"
    if left_out:
        told += f", without {', '.join(sorted(left_out))}"
    record_metric(checkpoint, classes, images.files, told, licence, description)
    typer.echo(f"The metric learned from {len(classes)} classes.")
