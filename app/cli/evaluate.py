"""`inkling evaluate`: accuracy with its interval, beside 0 steps and nearest centroid."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..checkpoints.checkpoint import Checkpoint
    from ..checkpoints.config import Result
    from ..training.evaluation import Evaluation


def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint folder or a shipped name.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    n_way: Annotated[
        list[int] | None,
        typer.Option(help="Classes an episode [5]; again for more settings.", min=2),
    ] = None,
    n_shot: Annotated[
        list[int] | None, typer.Option(help="Support images a class [1]; likewise.", min=1)
    ] = None,
    n_query: Annotated[int, typer.Option(help="Query images a class.", min=1)] = 15,
    episodes: Annotated[int, typer.Option(help="How many episodes.", min=2)] = 1000,
    seed: Annotated[int, typer.Option(help="Which episodes.", min=0)] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Inner steps [the checkpoint's own].", min=0)
    ] = None,
    split: Annotated[
        Literal["test", "validation", "train"], typer.Option(help="Which classes.")
    ] = "test",
    data_format: Annotated[
        Literal["omniglot", "vinyals", "folders"], typer.Option(help="How the data is laid out.")
    ] = "omniglot",
    pretrained: Annotated[
        str | None,
        typer.Option(
            help="A checkpoint whose features nearest centroid gets too, as a run's pretrained."
        ),
    ] = None,
    unlike: Annotated[
        list[Path] | None,
        typer.Option(help="A folder per class of another kind of images; again for more."),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead, a line for each setting.")
    ] = False,
    record: Annotated[
        bool, typer.Option(help="Write the result into the checkpoint's config and card.")
    ] = False,
) -> None:
    """Measure a checkpoint on episodes of classes it never saw, each query by itself."""
    import torch
    from rich.console import Console
    from rich.progress import track

    from ..checkpoints.catalogue import find_checkpoint
    from ..checkpoints.checkpoint import load_checkpoint, record_result
    from ..checkpoints.config import Result
    from ..data.episodes import EpisodeShape
    from ..training import evaluation
    from ..training.calibration import CalibrationMeter, warned_share
    from ..training.datasets import for_episodes, preprocess_classes, read_split

    torch.set_num_threads(threads)
    progress = Console(stderr=True)
    folder = find_checkpoint(checkpoint)
    loaded = load_checkpoint(folder)
    if record and steps is not None:
        raise typer.BadParameter("--record takes the checkpoint's own steps")
    encoded = read_split(data_format, data, split, loaded.config.provenance.validation_groups)
    classes = preprocess_classes(
        iter(track(encoded, description=f"reading {split} classes", console=progress)),
        loaded.preprocessing,
    )
    classes = for_episodes(data_format, classes)
    other = None
    if pretrained is not None:
        beside = load_checkpoint(find_checkpoint(pretrained))
        if beside.preprocessing != loaded.preprocessing:
            raise typer.BadParameter("--pretrained: expected a checkpoint of equal preprocessing")
        other = evaluation.embed(beside.network, beside.initialization, classes)
    strangers = {
        str(path): preprocess_classes(read_split("folders", path, "test", []), loaded.preprocessing)
        for path in unlike or []
    }
    for way, shot in itertools.product(n_way or [5], n_shot or [1]):
        setting = evaluation.Setting(EpisodeShape.fixed(way, shot, n_query), episodes, seed)
        meter = CalibrationMeter(loaded, classes, seed)
        with _episode_bar(progress, f"{way}-way {shot}-shot", episodes) as advance:
            found = evaluation.evaluate(
                loaded.network,
                loaded.initialization,
                classes,
                setting,
                steps=steps,
                pretrained=other,
                on_episode=advance,
                on_scores=meter.watch,
            )
        worth = meter.found()
        result = Result(
            split=f"{data_format} {split}",
            n_way=way,
            n_shot=shot,
            n_query=n_query,
            episodes=episodes,
            seed=seed,
            accuracy=found.accuracy.mean,
            interval=found.accuracy.half_width,
            nearest_centroid=found.nearest_centroid.mean,
            nearest_centroid_interval=found.nearest_centroid.half_width,
            calibration_error=worth.error,
            none_of_these_auroc=worth.auroc,
            known_flagged=worth.flagged,
        )
        if record:
            record_result(folder, result)
        taken = loaded.config.inner_loop.steps if steps is None else steps
        if as_json:
            typer.echo(_json(loaded, taken, result, found))
        else:
            Console().print(_table(loaded, taken, result, found))
        calibration = loaded.config.calibration
        if calibration is not None and strangers:
            bare = evaluation.Setting(EpisodeShape.fixed(way, shot, 0), episodes, seed)
            for name, images in {result.split: classes, **strangers}.items():
                share = warned_share(calibration.likeness, images, bare)
                entry = {"data": name, "n_way": way, "n_shot": shot, "warned": share}
                told = f"{name}: {100 * share:.2f} % of support sets are warned about"
                typer.echo(json.dumps(entry) if as_json else told)


def _json(loaded: Checkpoint, steps: int, result: Result, found: Evaluation) -> str:
    return json.dumps(
        {
            "checkpoint": loaded.name,
            "identity": loaded.identity,
            "steps": steps,
            **result.model_dump(),
            "difference": found.difference.mean,
            "difference_interval": found.difference.half_width,
            "zero_steps": found.zero_steps.mean,
            "zero_steps_interval": found.zero_steps.half_width,
            "difference_to_zero_steps": found.difference_to_zero_steps.mean,
            "difference_to_zero_steps_interval": found.difference_to_zero_steps.half_width,
            **{
                key: value
                for name, interval in (
                    ("pretrained_centroid", found.pretrained_centroid),
                    ("difference_to_pretrained", found.difference_to_pretrained),
                )
                if interval is not None
                for key, value in ((name, interval.mean), (f"{name}_interval", interval.half_width))
            },
        }
    )


def _table(loaded: Checkpoint, steps: int, result: Result, found: Evaluation) -> Table:
    from rich.table import Table

    table = Table(
        "classifier",
        "accuracy",
        "95 % interval",
        title=f"{loaded.name}: {result.n_way}-way {result.n_shot}-shot, {result.n_query} queries "
        f"a class, {result.episodes} episodes of {result.split} classes, seed {result.seed}",
    )
    for name, interval in (
        (f"adapted, {steps} steps", found.accuracy),
        ("its start, 0 steps", found.zero_steps),
        ("nearest centroid in its features", found.nearest_centroid),
        ("difference to 0 steps, paired", found.difference_to_zero_steps),
        ("difference to nearest centroid, paired", found.difference),
        ("nearest centroid in pre-trained features", found.pretrained_centroid),
        ("difference to it, paired", found.difference_to_pretrained),
    ):
        if interval is None:
            continue
        table.add_row(name, f"{100 * interval.mean:.2f} %", f"± {100 * interval.half_width:.2f}")
    for name, value in (
        ("calibration error", result.calibration_error),
        ("none-of-these AUROC", result.none_of_these_auroc),
        ("flagged, though of its classes", result.known_flagged),
    ):
        if value is not None:
            table.add_row(name, f"{value:.4f}", "")
    return table


@contextlib.contextmanager
def _episode_bar(
    console: Console, description: str, episodes: int
) -> Iterator[Callable[[float], None]]:
    """A progress bar with the mean accuracy so far; gives what to call after each episode."""
    from rich.progress import Progress, TextColumn

    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[mean]}"))
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(description, total=episodes, mean="")
        shares: list[float] = []

        def advance(accuracy: float) -> None:
            shares.append(accuracy)
            bars.update(task, advance=1, mean=f"{100 * sum(shares) / len(shares):.2f} %")

        yield advance
