"""`inkling evaluate`: accuracy with its interval, beside 0 steps and nearest centroid."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .curves import check_picture, curve_rows, curve_table, draw_curves

if TYPE_CHECKING:
    import torch
    from rich.console import Console
    from rich.table import Table

    from ..checkpoints.checkpoint import Checkpoint
    from ..checkpoints.config import Result
    from ..data.episodes import ClassImages
    from ..meta.inner_loop import Initialization
    from ..meta.network import Network
    from ..training.adaptation_curve import AdaptationCurve
    from ..training.calibration import CalibrationFound, CalibrationMeter
    from ..training.candidate import Candidate
    from ..training.evaluation import Evaluation, Setting


UNLIKE_IMAGES = 20
"""Images that are read of each class of an --unlike folder."""


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
        typer.Option(
            help="A folder per class of another kind of images, for the share of support sets that "
            "is warned about; again for more."
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            help="Measure accuracy by inner step, up to twice the checkpoint's own, too: "
            "as numbers and as this PNG file."
        ),
    ] = None,
    by_batch: Annotated[
        bool,
        typer.Option(
            "--transductive",
            help="Normalise the queries of an episode together, as some papers do; no call is "
            "answered so.",
        ),
    ] = False,
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="What computes the answers.")
    ] = "cpu",
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
    from ..data.episodes import EpisodeShape
    from ..engine.device import choose_device, use_exact_arithmetic
    from ..meta.placement import placed
    from ..training import evaluation
    from ..training.adaptation_curve import measure_curve
    from ..training.datasets import for_episodes, preprocess_classes, read_split

    torch.set_num_threads(threads)
    chosen = choose_device(device)
    use_exact_arithmetic()
    progress = Console(stderr=True)
    folder = find_checkpoint(checkpoint)
    loaded = load_checkpoint(folder)
    initialization = placed(loaded.initialization, chosen)
    if record and steps is not None:
        raise typer.BadParameter("--record takes the checkpoint's own steps")
    if curve is not None:
        check_picture(curve)
    strangers = _strangers(unlike or [], loaded)
    encoded = read_split(data_format, data, split, loaded.config.provenance.validation_groups)
    classes = preprocess_classes(
        iter(track(encoded, description=f"reading {split} classes", console=progress)),
        loaded.preprocessing,
    )
    classes = for_episodes(data_format, classes).placed(chosen)
    candidate = _candidate(loaded.network, initialization, classes, by_batch=by_batch)
    other = None if pretrained is None else _embedded(pretrained, loaded, classes, chosen)
    curves: list[AdaptationCurve] = []
    for way, shot in itertools.product(n_way or [5], n_shot or [1]):
        setting = evaluation.Setting(EpisodeShape.fixed(way, shot, n_query), episodes, seed)
        meter = _meter(loaded, candidate, seed)
        with _episode_bar(progress, f"{way}-way {shot}-shot", episodes) as advance:
            found = evaluation.evaluate(
                candidate,
                setting,
                steps=steps,
                pretrained=other,
                on_episode=advance,
                on_scores=meter.watch if meter else lambda *_: None,
            )
        result = _result(f"{data_format} {split}", setting, found, meter.found() if meter else None)
        if not by_batch:
            result = _with_warned(result, loaded, {result.split: classes, **strangers}, setting)
        if record:
            record_result(folder, result)
        taken = loaded.config.inner_loop.steps if steps is None else steps
        if curve is not None:
            with progress.status(f"{way}-way {shot}-shot by inner step"):
                curves.append(measure_curve(candidate, setting))
        if as_json:
            typer.echo(_json(loaded, taken, result, found, curves[-1:]))
        else:
            Console().print(_table(loaded, taken, result, found), *map(curve_table, curves[-1:]))
    if curve is not None:
        draw_curves(curve, curves, loaded, result.told_split())


def _meter(loaded: Checkpoint, candidate: Candidate, seed: int) -> CalibrationMeter | None:
    """What watches the calibration; nothing where queries are not classified as it was fitted."""
    from ..training.calibration import CalibrationMeter
    from ..training.candidate import Inductive

    return CalibrationMeter(loaded, candidate, seed) if isinstance(candidate, Inductive) else None


def _result(
    split: str, setting: Setting, found: Evaluation, worth: CalibrationFound | None
) -> Result:
    """What is recorded; without a ``worth`` it was measured transductively."""
    from ..checkpoints.config import Result

    shape = setting.shape
    return Result(
        split=split,
        n_way=shape.n_way[0],
        n_shot=shape.n_shot[0],
        n_query=shape.n_query,
        episodes=setting.episodes,
        seed=setting.seed,
        accuracy=found.accuracy.mean,
        interval=found.accuracy.half_width,
        nearest_centroid=found.nearest_centroid.mean,
        nearest_centroid_interval=found.nearest_centroid.half_width,
        difference_to_head_alone=found.difference_to_head_alone
        and found.difference_to_head_alone.mean,
        difference_to_head_alone_interval=found.difference_to_head_alone
        and found.difference_to_head_alone.half_width,
        calibration_error=worth and worth.error,
        none_of_these_auroc=worth and worth.auroc,
        known_flagged=worth and worth.flagged,
        transductive=worth is None,
    )


def _embedded(
    name_or_path: str, loaded: Checkpoint, classes: ClassImages, device: torch.device
) -> ClassImages:
    from ..checkpoints.catalogue import find_checkpoint
    from ..checkpoints.checkpoint import load_checkpoint
    from ..meta.placement import placed
    from ..training.candidate import embed

    other = load_checkpoint(find_checkpoint(name_or_path))
    if other.preprocessing != loaded.preprocessing:
        raise typer.BadParameter("--pretrained: expected a checkpoint of equal preprocessing")
    return embed(other.network, placed(other.initialization, device), classes)


def _strangers(folders: Sequence[Path], loaded: Checkpoint) -> dict[str, ClassImages]:
    """The classes of each folder, under its name."""
    from ..data import folders as layout
    from ..training.datasets import preprocess_classes

    if folders and loaded.config.calibration is None:
        raise typer.BadParameter("--unlike: expected a calibrated checkpoint")
    found = {
        path.resolve().name: preprocess_classes(
            layout.read_all(path, UNLIKE_IMAGES), loaded.preprocessing
        )
        for path in folders
    }
    if len(found) < len(folders):
        raise typer.BadParameter("--unlike: expected folders of different names")
    return found


def _with_warned(
    result: Result, loaded: Checkpoint, data: Mapping[str, ClassImages], setting: Setting
) -> Result:
    """The result with the shares of support sets that are warned about, where that is known."""
    from ..training.calibration import warned_share

    calibration = loaded.config.calibration
    if calibration is None:
        return result
    alone = replace(setting, shape=replace(setting.shape, n_query=0))
    warned = {
        name: warned_share(calibration.likeness, classes, alone) for name, classes in data.items()
    }
    return result.model_copy(update={"warned": warned})


def _candidate(
    network: Network, initialization: Initialization, classes: ClassImages, *, by_batch: bool
) -> Candidate:
    from ..training.candidate import Inductive
    from ..training.transductive import TransductiveCandidate, transductive

    if not by_batch:
        return Inductive(network, initialization, classes)
    try:
        return TransductiveCandidate(transductive(network), initialization, classes)
    except ValueError as unchanged:
        raise typer.BadParameter(f"--transductive: {unchanged}") from None


def _json(
    loaded: Checkpoint,
    steps: int,
    result: Result,
    found: Evaluation,
    curves: Sequence[AdaptationCurve],
) -> str:
    told = {"curve": curve_rows(curves[0])} if curves else {}
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
                    ("head_alone", found.head_alone),
                    ("pretrained_centroid", found.pretrained_centroid),
                    ("difference_to_pretrained", found.difference_to_pretrained),
                )
                if interval is not None
                for key, value in ((name, interval.mean), (f"{name}_interval", interval.half_width))
            },
            **told,
        }
    )


def _table(loaded: Checkpoint, steps: int, result: Result, found: Evaluation) -> Table:
    from rich.table import Table

    kind = ", transductive" if result.transductive else ""
    table = Table(
        "classifier",
        "accuracy",
        "95 % interval",
        title=f"{loaded.name}{kind}: {result.n_way}-way {result.n_shot}-shot, "
        f"{result.n_query} queries a class, {result.episodes} episodes of {result.split} classes, "
        f"seed {result.seed}",
    )
    for name, interval in (
        (f"adapted, {steps} steps", found.accuracy),
        ("its start, 0 steps", found.zero_steps),
        ("nearest centroid in its features", found.nearest_centroid),
        ("difference to 0 steps, paired", found.difference_to_zero_steps),
        ("steps of the head alone", found.head_alone),
        ("difference to them, paired", found.difference_to_head_alone),
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
    for data, share in (result.warned or {}).items():
        table.add_row(f"support sets warned about, {data}", f"{100 * share:.2f} %", "")
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
