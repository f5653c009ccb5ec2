"""`inkling calibrate`: fit a calibration on classes that a checkpoint has not learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..data.sources import IN_GROUPS, SPLITS, DataFormat
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
    from rich.console import Console

    from ..checkpoints.checkpoint import load_checkpoint, record_calibration, record_learned_from
    from ..training.calibration import fit_calibration
    from ..training.candidate import Inductive
    from ..training.datasets import for_episodes, preprocess_classes
    from ..training.held_out import held_out
    from .learned_from import told_learned_from

    torch.set_num_threads(1)
    loaded = load_checkpoint(checkpoint)
    groups = loaded.config.provenance.validation_groups
    learned = told_learned_from(checkpoint, Console(stderr=True))
    training, validation = (
        preprocess_classes(
            held_out(data_format, data, split, groups, learned).classes,
            loaded.preprocessing,
            data_format,
            cache_folder(cache),
        )
        for split in SPLITS[:2]
    )
    candidate = Inductive(
        loaded.network, loaded.initialization, for_episodes(data_format, validation)
    )
    fitted = fit_calibration(candidate, training, loaded.preprocessing, seed, episodes)
    selected_on = sorted(set(validation.groups)) if data_format in IN_GROUPS else groups
    record_learned_from(checkpoint, learned.chosen_on((*training.files, *validation.files)))
    record_calibration(checkpoint, fitted, selected_on)
    typer.echo(
        f"temperature {fitted.temperature:.3f}, none of these above {fitted.none_of_these}, "
        f"unlike the training data above {fitted.likeness.threshold:.2f}"
    )
