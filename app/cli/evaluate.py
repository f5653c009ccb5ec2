"""`inkling evaluate`: accuracy with its interval, beside nearest centroid."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console


def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint folder or a shipped name.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    n_way: Annotated[int, typer.Option(help="Classes an episode.", min=2)] = 5,
    n_shot: Annotated[int, typer.Option(help="Support images a class.", min=1)] = 1,
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
        Literal["omniglot", "folders"], typer.Option(help="How the data is laid out.")
    ] = "omniglot",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    record: Annotated[
        bool, typer.Option(help="Write the result into the checkpoint's config and card.")
    ] = False,
) -> None:
    """Measure a checkpoint on episodes of classes it never saw, each query by itself."""
    import torch
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from ..checkpoints.catalogue import find_checkpoint
    from ..checkpoints.checkpoint import load_checkpoint, write_config
    from ..checkpoints.config import Result
    from ..data.episodes import EpisodeShape
    from ..training import evaluation
    from ..training.datasets import preprocess_classes, read_split

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
    with _episode_bar(progress, episodes) as advance:
        found = evaluation.evaluate(
            loaded.network,
            loaded.initialization,
            classes,
            evaluation.Setting(EpisodeShape.fixed(n_way, n_shot, n_query), episodes, seed),
            steps=steps,
            on_episode=advance,
        )
    result = Result(
        split=f"{data_format} {split}",
        n_way=n_way,
        n_shot=n_shot,
        n_query=n_query,
        episodes=episodes,
        seed=seed,
        accuracy=found.accuracy.mean,
        interval=found.accuracy.half_width,
        nearest_centroid=found.nearest_centroid.mean,
        nearest_centroid_interval=found.nearest_centroid.half_width,
    )
    if record:
        others = [r for r in loaded.config.results if not r.same_setting(result)]
        write_config(folder, loaded.config.model_copy(update={"results": [*others, result]}))
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "checkpoint": loaded.name,
                    "identity": loaded.identity,
                    "steps": loaded.config.inner_loop.steps if steps is None else steps,
                    **result.model_dump(),
                    "difference": found.difference.mean,
                    "difference_interval": found.difference.half_width,
                }
            )
        )
        return
    table = Table(
        "classifier",
        "accuracy",
        "95 % interval",
        title=f"{loaded.name}: {n_way}-way {n_shot}-shot, {n_query} queries a class, "
        f"{episodes} episodes of {split} classes, seed {seed}",
    )
    for name, interval in (
        (
            f"adapted, {loaded.config.inner_loop.steps if steps is None else steps} steps",
            found.accuracy,
        ),
        ("nearest centroid in its features", found.nearest_centroid),
        ("difference, paired", found.difference),
    ):
        table.add_row(name, f"{100 * interval.mean:.2f} %", f"± {100 * interval.half_width:.2f}")
    Console().print(table)


@contextlib.contextmanager
def _episode_bar(console: Console, episodes: int) -> Iterator[Callable[[float], None]]:
    """A progress bar with the mean accuracy so far; gives what to call after each episode."""
    from rich.progress import Progress, TextColumn

    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[mean]}"))
    with Progress(*columns, console=console) as bars:
        task = bars.add_task("episodes", total=episodes, mean="")
        shares: list[float] = []

        def advance(accuracy: float) -> None:
            shares.append(accuracy)
            bars.update(task, advance=1, mean=f"{100 * sum(shares) / len(shares):.2f} %")

        yield advance
