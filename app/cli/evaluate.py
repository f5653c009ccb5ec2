"""`inkling evaluate`: accuracy with its interval, beside 0 steps and nearest centroid."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..data.sources import DataFormat, Split
from .curves import check_picture, draw_curves
from .evaluation_report import Measured
from .image_cache import CacheOption, cache_folder

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from ..checkpoints.checkpoint import Checkpoint
    from ..data.episodes import ClassImages
    from ..training.adaptation_curve import AdaptationCurve
    from ..training.candidate import Candidate
    from ..training.evaluation import Setting


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
    split: Annotated[Split, typer.Option(help="Which classes.")] = "test",
    data_format: Annotated[DataFormat, typer.Option(help="How the data is laid out.")] = "omniglot",
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
    transductive: Annotated[
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
    cache: CacheOption = None,
) -> None:
    """Measure a checkpoint on episodes of classes it never saw, each query by itself."""
    import torch
    from rich.console import Console

    from ..checkpoints.catalogue import find_checkpoint
    from ..checkpoints.checkpoint import load_checkpoint, record_result
    from ..data.episodes import EpisodeShape
    from ..engine.device import choose_device, use_exact_arithmetic
    from ..training.evaluation import Setting
    from .evaluation_data import EvaluationData

    torch.set_num_threads(threads)
    chosen = choose_device(device)
    use_exact_arithmetic()
    console = Console(stderr=True)
    folder = find_checkpoint(checkpoint)
    loaded = load_checkpoint(folder)
    if record and steps is not None:
        raise typer.BadParameter("--record takes the checkpoint's own steps")
    if curve is not None:
        check_picture(curve)
    kept = cache_folder(cache)
    beside = None if pretrained is None else find_checkpoint(pretrained)
    reader = EvaluationData(loaded, [folder, *([] if beside is None else [beside])], kept, console)
    unlike_classes = reader.unlike(unlike or [])
    name, read = reader.classes(data, data_format, split)
    classes = read.placed(chosen)
    subject = _Subject(
        loaded,
        _candidate(loaded, classes, chosen, transductive=transductive),
        name,
        unlike_classes,
        None if beside is None else _embedded(beside, loaded, classes, chosen),
    )
    curves: list[AdaptationCurve] = []
    for way, shot in itertools.product(n_way or [5], n_shot or [1]):
        setting = Setting(EpisodeShape.fixed(way, shot, n_query), episodes, seed)
        measured = subject.measure(setting, steps, console, with_curve=curve is not None)
        if record:
            record_result(folder, measured.result)
        if as_json:
            typer.echo(measured.json())
        else:
            Console().print(*measured.tables())
        curves += [] if measured.curve is None else [measured.curve]
    if curve is not None:
        draw_curves(curve, curves, loaded, measured.result.told_split())


@dataclass(frozen=True)
class _Subject:
    """A checkpoint with the classes that it is measured on; the split has a name.

    ``unlike_classes`` are classes of other kinds of images, by the names of their folders.
    """

    checkpoint: Checkpoint
    candidate: Candidate
    split: str
    unlike_classes: Mapping[str, ClassImages]
    pretrained: ClassImages | None

    def measure(
        self, setting: Setting, steps: int | None, console: Console, *, with_curve: bool
    ) -> Measured:
        """Evaluate one setting, with what its calibration is worth where it can be told."""
        from ..training.adaptation_curve import measure_curve
        from ..training.calibration import CalibrationMeter
        from ..training.candidate import Inductive
        from ..training.evaluation import evaluate

        meter = None
        if isinstance(self.candidate, Inductive):
            meter = CalibrationMeter(self.checkpoint, self.candidate, setting.seed)
        (way, _), (shot, _) = setting.shape.n_way, setting.shape.n_shot
        name = f"{way}-way {shot}-shot"
        with _episode_bar(console, name, setting.episodes) as advance:
            evaluation = evaluate(
                self.candidate,
                setting,
                steps=steps,
                pretrained=self.pretrained,
                on_episode=advance,
                on_logits=meter.watch if meter else lambda *_: None,
            )
        curve = None
        if with_curve:
            with console.status(f"{name} by inner step"):
                curve = measure_curve(self.candidate, setting)
        return Measured(
            self.checkpoint,
            self.split,
            setting,
            self.checkpoint.config.inner_loop.steps if steps is None else steps,
            evaluation,
            meter.worth() if meter else None,
            self._warned(setting) if meter else None,
            curve,
        )

    def _warned(self, setting: Setting) -> dict[str, float] | None:
        """The shares of support sets that are warned about, by data, where that is known."""
        from ..training.calibration import warned_share

        calibration = self.checkpoint.config.calibration
        if calibration is None:
            return None
        support_alone = replace(setting, shape=replace(setting.shape, n_query=0))
        return {
            name: warned_share(
                calibration.likeness, classes, self.checkpoint.preprocessing, support_alone
            )
            for name, classes in {self.split: self.candidate.classes, **self.unlike_classes}.items()
        }


def _candidate(
    loaded: Checkpoint, classes: ClassImages, device: torch.device, *, transductive: bool
) -> Candidate:
    from ..meta.placement import placed
    from ..training.candidate import Inductive
    from ..training.transductive import TransductiveCandidate, normalised_by_batch

    initialization = placed(loaded.initialization, device)
    if not transductive:
        return Inductive(loaded.network, initialization, classes)
    try:
        network = normalised_by_batch(loaded.network)
    except ValueError as unchanged:
        raise typer.BadParameter(f"--transductive: {unchanged}") from None
    return TransductiveCandidate(network, initialization, classes)


def _embedded(
    folder: Path, loaded: Checkpoint, classes: ClassImages, device: torch.device
) -> ClassImages:
    """The classes as the features of the --pretrained checkpoint."""
    from ..checkpoints.checkpoint import load_checkpoint
    from ..meta.placement import placed
    from ..training.candidate import embed

    pretrained = load_checkpoint(folder)
    if pretrained.preprocessing != loaded.preprocessing:
        raise typer.BadParameter("--pretrained: expected a checkpoint of equal preprocessing")
    return embed(pretrained.network, placed(pretrained.initialization, device), classes)


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
