"""`inkling train`: run a recipe, or take it up where it stopped."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .image_cache import CacheOption, cache_folder

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from ..data.episodes import ClassImages
    from ..data.sources import Split
    from ..images.preprocessing import Preprocessing
    from ..training.recipes import Recipe
    from ..training.run import Progress

SMOOTHING = 0.02
"""Share of the newest update in the loss that is shown."""


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name or TOML file.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder of the run [runs/<recipe's name>].")
    ] = None,
    pretraining: Annotated[
        Path | None,
        typer.Option(help="Folder of a finished run whose pre-training to take over."),
    ] = None,
    untrained: Annotated[
        bool,
        typer.Option(help="Only write the untrained checkpoint that a run starts from."),
    ] = False,
    download: Annotated[
        bool, typer.Option(help="Let torchvision fetch Omniglot into --data first.")
    ] = False,
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="What computes the updates.")
    ] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    cache: CacheOption = None,
) -> None:
    """Meta-train an initialization. A run in the same folder goes on where it stopped."""
    import torch
    from rich.console import Console

    from ..data import omniglot
    from ..engine.device import choose_device, use_exact_arithmetic
    from ..training.recipes import load_recipe
    from ..training.run import TrainingRun

    torch.set_num_threads(threads)
    chosen = choose_device(device)
    use_exact_arithmetic()
    console = Console()
    named = load_recipe(recipe)
    folder = output or Path("runs") / named.recipe.name
    root = omniglot.download(data) if download else data
    training, validation, preprocessing = _data(named.recipe, root, cache_folder(cache), console)
    run = TrainingRun(named, folder, training, validation, preprocessing, device=chosen)
    if untrained:
        console.print(f"The untrained checkpoint is in {run.publish_untrained()}.")
        return
    if pretraining is not None:
        run.begin_from_pretraining_of(pretraining)
    _show(run.run(), console)
    console.print(f"The checkpoint is in {folder / 'checkpoint'}.")


def _data(
    recipe: Recipe, root: Path, cache: Path, console: Console
) -> tuple[ClassImages, ClassImages, Preprocessing]:
    """Training and validation classes of the data set in ``root``, and their preprocessing.

    Raises BadData for a validation class that is a training class too.
    """
    from rich.progress import track

    from ..checkpoints.learned_from import Known
    from ..training.datasets import (
        fitted,
        for_episodes,
        normalized,
        preprocess_classes,
        read_split,
    )
    from ..training.held_out import apart
    from ..training.start import recipe_preprocessing

    bare, table = recipe_preprocessing(recipe), recipe.data

    def read(split: Split, known: Known) -> ClassImages:
        encoded = read_split(table.format, root, split, table.validation_groups)
        unknown = apart(encoded, known, split, "in train")
        watched = track(unknown, description=f"reading {split} classes", console=console)
        return preprocess_classes(watched, bare, table.format, cache)

    training = read("train", Known())
    validation = read("validation", Known.of(training.files))
    if table.train_on_validation:
        training = training.joined(validation)
    preprocessing = fitted(bare, training)
    held_out = for_episodes(table.format, validation)
    return normalized(training, preprocessing), normalized(held_out, preprocessing), preprocessing


def _show(run: Iterable[Progress], console: Console) -> None:
    """Follow a run to its end, by a progress bar for each stage."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("held out {task.fields[held_out]}"),
        TimeElapsedColumn(),
        TextColumn("left {task.fields[left]}"),
    )
    with Bars(*columns, console=console) as bars:
        tasks: dict[int, TaskID] = {}
        loss = seconds = 0.0
        for progress in run:
            if progress.stage_number not in tasks:
                loss, seconds = progress.loss, progress.seconds
                tasks[progress.stage_number] = bars.add_task(
                    progress.stage, total=progress.iterations, loss=loss, held_out="-", left="-"
                )
            task = tasks[progress.stage_number]
            loss += SMOOTHING * (progress.loss - loss)
            seconds += SMOOTHING * (progress.seconds - seconds)
            left = timedelta(seconds=int(seconds * (progress.iterations - progress.iteration)))
            bars.update(task, completed=progress.iteration, loss=loss, left=str(left))
            if progress.validation is not None:
                held_out = f"{100 * progress.validation:.2f} %"
                bars.update(task, held_out=held_out)
                if not console.is_terminal:
                    console.print(
                        f"{progress.stage} {progress.iteration}/{progress.iterations} "
                        f"loss {loss:.3f} held out {held_out}"
                    )
