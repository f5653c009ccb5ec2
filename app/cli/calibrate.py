"""`inkling calibrate`: fit a calibration on classes that a checkpoint has not learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..data.sources import IN_GROUPS, DataFormat
from .image_cache import CacheOption, cache_folder


def calibrate(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint folder, which is changed.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set that it learned from.")],
    data_format: Annotated[DataFormat, typer.Option(help="How the data is laid out.")] = "omniglot",
    seed: Annotated[int, typer.Option(help="Which episodes.", min=0)] = 0,
    episodes: Annotated[
        int, typer.Option(help="Held-out episodes of each way and shot.", min=1)
    ] = 100,
    cache: CacheOption = None,
) -> None:
    """Fit temperature, none-of-these threshold and likeness, as the end of a training run does.

    The checkpoint's identity changes, and the results measured before are dropped.
    """
    import torch

    from ..checkpoints.checkpoint import load_checkpoint, record_calibration
    from ..training.calibration import fit_calibration
    from ..training.candidate import Inductive
    from ..training.datasets import for_episodes, preprocess_classes, read_split

    torch.set_num_threads(1)
    loaded = load_checkpoint(checkpoint)
    groups = loaded.config.provenance.validation_groups
    training, held_out = (
        preprocess_classes(
            read_split(data_format, data, split, groups),
            loaded.preprocessing,
            data_format,
            cache_folder(cache),
        )
        for split in ("train", "validation")
    )
    candidate = Inductive(
        loaded.network, loaded.initialization, for_episodes(data_format, held_out)
    )
    fitted = fit_calibration(candidate, training, loaded.preprocessing, seed, episodes)
    held_out_groups = sorted(set(held_out.groups)) if data_format in IN_GROUPS else groups
    record_calibration(checkpoint, fitted, held_out_groups)
    typer.echo(
        f"temperature {fitted.temperature:.3f}, none of these above {fitted.none_of_these}, "
        f"unlike the training data above {fitted.likeness.threshold:.2f}"
    )
