"""`inkling train`: run a recipe, or take it up where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ..data.episodes import ClassImages
    from ..images.drawing import Drawing
    from ..training.datasets import Split
    from ..training.recipes import Recipe

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
) -> None:
    """Meta-train an initialization. A run in the same folder goes on where it stopped."""
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from ..data import omniglot
    from ..engine.device import choose_device, use_exact_arithmetic
    from ..training.datasets import for_episodes
    from ..training.recipes import load_recipe
    from ..training.run import TrainingRun, recipe_preprocessing, standardize, standardized

    torch.set_num_threads(threads)
    chosen = choose_device(device)
    use_exact_arithmetic()
    console = Console()
    named = load_recipe(recipe)
    folder = output or Path("runs") / named.recipe.name
    root = omniglot.download(data) if download else data
    bare = recipe_preprocessing(named.recipe)
    training = _read(named.recipe, root, "train", bare, console)
    validation = _read(named.recipe, root, "validation", bare, console)
    if named.recipe.data.train_on_validation:
        training = training.joined(validation)
    preprocessing = standardized(bare, training)
    run = TrainingRun(
        named,
        folder,
        standardize(training, preprocessing),
        standardize(for_episodes(named.recipe.data.format, validation), preprocessing),
        preprocessing,
        device=chosen,
    )
    if untrained:
        console.print(f"The untrained checkpoint is in {run.publish_untrained()}.")
        return
    if pretraining is not None:
        run.begin_from_pretraining_of(pretraining)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("held out {task.fields[held_out]}"),
        TimeElapsedColumn(),
        TextColumn("left {task.fields[left]}"),
        console=console,
    ) as bars:
        tasks: dict[int, TaskID] = {}
        loss = seconds = 0.0
        for progress in run.run():
            stage = progress.stage
            if progress.stage_number not in tasks:
                loss, seconds = progress.loss, progress.seconds
                tasks[progress.stage_number] = bars.add_task(
                    stage, total=progress.iterations, loss=loss, held_out="-", left="-"
                )
            task = tasks[progress.stage_number]
            loss += SMOOTHING * (progress.loss - loss)
            seconds += SMOOTHING * (progress.seconds - seconds)
            left = int(seconds * (progress.iterations - progress.iteration))
            bars.update(
                task,
                completed=progress.iteration,
                loss=loss,
                left=f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}",
            )
            if progress.validation is not None:
                bars.update(task, held_out=f"{100 * progress.validation:.2f} %")
                if not console.is_terminal:
                    console.print(
                        f"{stage} {progress.iteration}/{progress.iterations} loss {loss:.3f} "
                        f"held out {100 * progress.validation:.2f} %"
                    )
    console.print(f"The checkpoint is in {folder / 'checkpoint'}.")


def _read(
    recipe: Recipe, root: Path, split: Split, preprocessing: Drawing, console: Console
) -> ClassImages:
    from rich.progress import track

    from ..training.datasets import preprocess_classes, read_split

    classes = read_split(recipe.data.format, root, split, recipe.data.validation_groups)
    watched = track(classes, description=f"reading {split} classes", console=console)
    return preprocess_classes(iter(watched), preprocessing)
