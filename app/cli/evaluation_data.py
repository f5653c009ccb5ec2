"""The classes that `inkling evaluate` measures on, apart from what checkpoints learned from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import track

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.learned_from import LearnedFrom
from ..data.episodes import ClassImages
from ..data.folders import read_all
from ..data.sources import DataFormat, EncodedClass, Split
from ..training.datasets import for_episodes, preprocess_classes
from ..training.held_out import apart, held_out
from .learned_from import told_learned_from

UNLIKE_IMAGES = 20
"""Images that are read of each class of an --unlike folder."""


class EvaluationData:
    """Reads classes for one checkpoint, none of which those in ``folders`` learned from."""

    def __init__(
        self, checkpoint: Checkpoint, folders: Sequence[Path], cache: Path, console: Console
    ) -> None:
        self._checkpoint, self._cache, self._console = checkpoint, cache, console
        told = (told_learned_from(folder, console) for folder in folders)
        self._learned = reduce(LearnedFrom.__or__, told)

    def classes(self, data: Path, data_format: DataFormat, split: Split) -> tuple[str, ClassImages]:
        """The classes of a split, and what results call them; see `held_out`."""
        groups = self._checkpoint.config.provenance.validation_groups
        held = held_out(data_format, data, split, groups, self._learned)
        watched = track(held.classes, f"reading {held.name} classes", console=self._console)
        classes = self._prepared(watched, data_format)
        return held.name, for_episodes(data_format, classes)

    def unlike(self, folders: Sequence[Path]) -> dict[str, ClassImages]:
        """The classes of each --unlike folder, under its name."""
        if folders and self._checkpoint.config.calibration is None:
            raise typer.BadParameter("--unlike: expected a calibrated checkpoint")
        where = "among those that the checkpoint learned from"
        by_name = {
            path.resolve().name: self._prepared(
                apart(read_all(path, UNLIKE_IMAGES), self._learned.trained, str(path), where)
            )
            for path in folders
        }
        if len(by_name) < len(folders):
            raise typer.BadParameter("--unlike: expected folders of different names")
        return by_name

    def _prepared(
        self, classes: Iterable[EncodedClass], data_format: DataFormat = "folders"
    ) -> ClassImages:
        return preprocess_classes(classes, self._checkpoint.preprocessing, data_format, self._cache)
