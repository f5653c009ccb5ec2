"""A training run: the stages of a recipe one after the other, in a folder that it resumes from.

The folder holds the state file (see `run_state`), `log.jsonl` and, at the end, `checkpoint/` with
pictures of how it learned and how it adapts; after pre-training also `pretrained/`, a checkpoint
of that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..checkpoints.checkpoint import Checkpoint, load_checkpoint
from ..checkpoints.learned_from import LearnedFrom
from ..data.episodes import ClassImages, EpisodeShape
from ..images.preprocessing import Preprocessing
from ..meta.inner_loop import Initialization
from ..meta.placement import placed
from .adaptation_curve import measure_curve
from .candidate import Candidate, Inductive
from .evaluation import Interval, Setting, adapted_accuracy, evaluate_nearest_centroid
from .meta_training import MetaTraining
from .pretraining import Pretraining
from .publish import LOG_FILE, Publisher
from .recipes import NamedRecipe
from .run_data import RunData
from .run_state import Best, Position, RunState
from .stages import Stage
from .start import fresh_initialization, recipe_network, with_fresh_inner_loop

CHECKPOINT_FOLDER, PRETRAINED_FOLDER, UNTRAINED_FOLDER = "checkpoint", "pretrained", "untrained"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Progress:
    """Where a run is: after ``iteration`` of ``iterations`` updates of a stage."""

    stage_number: int
    stage: str
    iteration: int
    iterations: int
    loss: float
    accuracy: float
    validation: float | None
    seconds: float


class TrainingRun:
    """One run of a recipe over preprocessed training and validation classes, on one device."""

    def __init__(
        self,
        named: NamedRecipe,
        folder: Path,
        training: ClassImages,
        validation: ClassImages,
        preprocessing: Preprocessing,
        *,
        device: torch.device = CPU,
    ) -> None:
        self._recipe, self._folder, self._device = named.recipe, folder, device
        learned = training.with_rotations() if self._recipe.data.rotations else training
        self._training, self._validation = learned.placed(device), validation.placed(device)
        self._background = preprocessing.background
        self._network = recipe_network(self._recipe)
        data = RunData.of(training, validation)
        self._state = RunState(self._recipe, data, folder, device)
        n_classes = len(training.names)
        learned_from = LearnedFrom().trained_on(training.files).chosen_on(validation.files)
        self._publisher = Publisher(
            named, folder, self._network, preprocessing, n_classes, learned_from
        )

    def run(self, save_every_seconds: float = 60) -> Iterator[Progress]:
        """Train from the beginning or from the saved state; yield after every update.

        Raises BadRecipe and BadData where that had another recipe or other data; see `RunState`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        position = self._state.read()
        if position is None:
            self._check_settings()
            fresh = fresh_initialization(self._recipe, self._network)
            position = self._beginning(0, placed(fresh, self._device))
            self._state.save(position)
        best = yield from self._run_stage(position, save_every_seconds)
        for stage_number in range(position.stage_number + 1, self._recipe.n_stages):
            if stage_number == self._recipe.first_meta_stage:
                self._state.keep_pretraining()
                pretrained = self._with_fresh_inner_loop(best.initialization)
                self._publisher.publish(PRETRAINED_FOLDER, pretrained)
            position = self._beginning(stage_number, best.initialization)
            best = yield from self._run_stage(position, save_every_seconds)
        self._publish(best.initialization)

    def publish_untrained(self) -> Path:
        """Write what the run starts from as a checkpoint, to measure what training adds."""
        start = fresh_initialization(self._recipe, self._network)
        return self._publisher.publish(UNTRAINED_FOLDER, start)

    def begin_from_pretraining_of(self, folder: Path) -> None:
        """Take over the finished pre-training of another run; see `RunState`."""
        self._state.take_over_pretraining(folder)

    def checkpoint(self) -> Checkpoint:
        """What the run has made, once `run` is through."""
        return load_checkpoint(self._folder / CHECKPOINT_FOLDER)

    def _publish(self, initialization: Initialization) -> None:
        candidate = Inductive(self._network, initialization, self._validation)
        curves = [measure_curve(candidate, setting) for setting in self._settings()]
        self._publisher.publish(CHECKPOINT_FOLDER, initialization, curves)
        if not self._recipe.data.train_on_validation:
            on_cpu = Inductive(
                self._network, placed(initialization, CPU), self._validation.placed(CPU)
            )
            self._publisher.calibrate(CHECKPOINT_FOLDER, on_cpu, self._training.placed(CPU))

    def _check_settings(self) -> None:
        """Raise BadData, before anything is learned, for too few classes to choose a state by."""
        for setting in self._settings():
            next(iter(setting.plans(self._validation)))

    def _beginning(self, stage_number: int, start: Initialization) -> Position:
        """Where a stage begins, and what it has to beat.

        Meta-training has to beat what it starts from, so that no stage makes things worse.
        """
        first_meta = self._recipe.first_meta_stage
        if stage_number == first_meta:
            start = placed(self._with_fresh_inner_loop(start), self._device)
        score = self._held_out(start, adapted_accuracy) if stage_number >= first_meta else -1.0
        return Position(stage_number, 0, start, Best(score, start))

    def _with_fresh_inner_loop(self, initialization: Initialization) -> Initialization:
        return with_fresh_inner_loop(self._recipe, self._network, initialization.params)

    def _run_stage(
        self, position: Position, save_every_seconds: float
    ) -> Generator[Progress, None, Best]:
        stage = self._stage(position.stage_number, position.start)
        if position.tensors and position.iteration < stage.iterations:
            stage.restore(position.tensors)
        best, last_save = position.best, time.monotonic()
        for iteration in range(position.iteration + 1, stage.iterations + 1):
            began = time.monotonic()
            measured = stage.update(iteration - 1)
            score = self._validate(stage, iteration)
            if score is not None and self._takes(stage, iteration, score, best):
                best = Best(score, stage.initialization())
            progress = Progress(
                stage_number=position.stage_number,
                stage=stage.name,
                iteration=iteration,
                iterations=stage.iterations,
                loss=measured["loss"],
                accuracy=measured["accuracy"],
                validation=score,
                seconds=time.monotonic() - began,
            )
            self._log(progress)
            at_end = iteration == stage.iterations
            if at_end or time.monotonic() - last_save >= save_every_seconds:
                tensors = stage.tensors()
                self._state.save(replace(position, iteration=iteration, best=best, tensors=tensors))
                last_save = time.monotonic()
            yield progress
        return best

    def _takes(self, stage: Stage, iteration: int, score: float, best: Best) -> bool:
        """Tell whether a stage's state is its best so far, which the stage ends with.

        The rate of pre-training ends at 0: its last state is its best, give or take noise. Where
        the validation classes are learned too, they cannot tell which state is best.
        """
        if isinstance(stage, Pretraining) or self._recipe.data.train_on_validation:
            return iteration == stage.iterations
        return score >= best.score

    def _stage(self, stage_number: int, start: Initialization) -> Stage:
        recipe, network, background = self._recipe, self._network, self._background
        seed = recipe.seed * 1000 + stage_number
        if recipe.pretraining is not None and stage_number == 0:
            return Pretraining(network, start, self._training, recipe.pretraining, background, seed)
        table = recipe.meta_training[stage_number - recipe.first_meta_stage]
        classes = self._training.mirrored() if table.mirrored else self._training
        return MetaTraining(network, start, classes, table, background, seed)

    def _validate(self, stage: Stage, iteration: int) -> float | None:
        selection = self._recipe.selection
        pretraining = isinstance(stage, Pretraining)
        every = (pretraining and selection.pretraining_every) or selection.every
        if iteration % every and iteration != stage.iterations:
            return None
        measure = evaluate_nearest_centroid if pretraining else adapted_accuracy
        return self._held_out(stage.initialization(), measure)

    def _held_out(
        self, initialization: Initialization, measure: Callable[[Candidate, Setting], Interval]
    ) -> float:
        """What is measured on held-out classes, averaged over the recipe's settings."""
        candidate = Inductive(self._network, initialization, self._validation)
        settings = self._settings()
        return sum(measure(candidate, setting).mean for setting in settings) / len(settings)

    def _settings(self) -> list[Setting]:
        table, seed = self._recipe.selection, self._recipe.seed
        return [
            Setting(EpisodeShape.fixed(*pair, table.n_query), table.episodes, seed)
            for pair in table.settings
        ]

    def _log(self, progress: Progress) -> None:
        entry = {"time": time.time(), **vars(progress)}
        with (self._folder / LOG_FILE).open("a") as log:
            log.write(json.dumps(entry) + "\n")
