"""A training run: the stages of a recipe one after the other, in a folder that it resumes from.

The folder holds `state.safetensors` (all that later updates depend on), `log.jsonl` and, at the
end, `checkpoint/` with pictures of how it learned and how it adapts; after pre-training also
`pretraining.safetensors`, the state that any recipe with the same pre-training can begin its
meta-training from, and `pretrained/`, a checkpoint of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import torch

from ..checkpoints.card import ADAPTATION_CURVE, LEARNING_CURVE
from ..checkpoints.checkpoint import (
    Checkpoint,
    from_tensors,
    load_checkpoint,
    record_calibration,
    save_checkpoint,
    to_tensors,
)
from ..checkpoints.config import (
    Config,
    Named,
    Provenance,
    build_network,
    build_preprocessing,
    describe,
    name_inner_loop,
)
from ..checkpoints.tensor_files import encode_tensors, read_tensors, write_file
from ..data.episodes import ClassImages, EpisodeShape, seeded
from ..errors import BadCheckpoint, BadData, BadRecipe
from ..images.drawing import Drawing
from ..meta.head import BIAS, SCALE, WEIGHT
from ..meta.inner_loop import Initialization, InnerLoop
from ..meta.network import Network
from ..meta.params import Params
from ..meta.placement import placed
from ..meta.views import draw_views
from .adaptation_curve import AdaptationCurve, measure_curve, validated_steps
from .calibration import fit_calibration
from .candidate import Candidate, Inductive
from .evaluation import Interval, Setting, adapted_accuracy, evaluate_nearest_centroid
from .figures import adaptation_curves, learning_curve, read_log
from .meta_training import MetaTraining
from .pretraining import Pretraining
from .recipes import NamedRecipe, Recipe
from .stages import Stage

STATE_FILE, LOG_FILE, CHECKPOINT_FOLDER = "state.safetensors", "log.jsonl", "checkpoint"
PRETRAINING_FILE, PRETRAINED_FOLDER = "pretraining.safetensors", "pretrained"
UNTRAINED_FOLDER = "untrained"
CPU = torch.device("cpu")
Built = TypeVar("Built")
VIEWS_DRAW = 1
"""Which draw of a recipe's seed the views come from."""


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


@dataclass(frozen=True)
class _Best:
    score: float
    initialization: Initialization


@dataclass(frozen=True)
class _Position:
    """Where a run is: within a stage that began at ``start``, with the stage's own state."""

    stage_number: int
    iteration: int
    start: Initialization
    best: _Best
    tensors: Params | None = None


class TrainingRun:
    """One run of a recipe over preprocessed training and validation classes, on one device."""

    def __init__(
        self,
        named: NamedRecipe,
        folder: Path,
        training: ClassImages,
        validation: ClassImages,
        preprocessing: Drawing,
        *,
        device: torch.device = CPU,
    ) -> None:
        self._named, self._recipe, self._folder = named, named.recipe, folder
        self._n_classes = len(training.names)
        turned = training.with_rotations() if self._recipe.data.rotations else training
        self._training, self._validation = turned.placed(device), validation.placed(device)
        self._device = device
        self._preprocessing = preprocessing
        self._network = recipe_network(self._recipe)
        self._background = -preprocessing.mean / preprocessing.std

    def run(self, save_every_seconds: float = 60) -> Iterator[Progress]:
        """Train from the beginning or from the saved state; yield after every update."""
        self._folder.mkdir(parents=True, exist_ok=True)
        position = self._read_state()
        if position is None:
            fresh = fresh_initialization(self._recipe, self._network)
            position = self._beginning(0, placed(fresh, self._device))
        best = yield from self._run_stage(position, save_every_seconds)
        for number in range(position.stage_number + 1, self._n_stages()):
            if number == self._first_meta_stage():
                self._keep_pretraining(best.initialization)
            position = self._beginning(number, best.initialization)
            best = yield from self._run_stage(position, save_every_seconds)
        candidate = Inductive(self._network, best.initialization, self._validation)
        curves = [measure_curve(candidate, setting) for setting in self._settings()]
        self._publish(CHECKPOINT_FOLDER, best.initialization, curves)
        if not self._recipe.data.train_on_validation:
            self._calibrate(best.initialization)

    def publish_untrained(self) -> Path:
        """Write what the run starts from as a checkpoint, to measure what training adds."""
        start = fresh_initialization(self._recipe, self._network)
        self._publish(UNTRAINED_FOLDER, start)
        return self._folder / UNTRAINED_FOLDER

    def begin_from_pretraining_of(self, folder: Path) -> None:
        """Take over the finished pre-training of another run, which had the same tables.

        A run that has a state already goes on from that. Raises BadRecipe when the other run
        has not finished its pre-training or had another one.
        """
        kept = folder / PRETRAINING_FILE
        if not kept.is_file():
            raise BadRecipe(f"{folder}: expected a run that has finished its pre-training")
        _, metadata = read_tensors(kept)
        if self._recipe.pretraining is None or metadata["digest"] != self._digest(0):
            raise BadRecipe(
                f"{folder}: its pre-training is not this recipe's: seed, data, preprocessing, "
                "network and pretraining have to be the same"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / STATE_FILE).exists():
            write_file(self._folder / STATE_FILE, kept.read_bytes())

    def _keep_pretraining(self, pretrained: Initialization) -> None:
        """Keep what pre-training made, which the next stage's state is about to replace."""
        content = (self._folder / STATE_FILE).read_bytes()
        write_file(self._folder / PRETRAINING_FILE, content)
        fresh = with_fresh_inner_loop(self._recipe, self._network, pretrained.params)
        self._publish(PRETRAINED_FOLDER, fresh)

    def _calibrate(self, initialization: Initialization) -> None:
        """Fit a calibration; too few held-out images leave the checkpoint without one."""
        with contextlib.suppress(BadData):
            calibration = fit_calibration(
                self._network,
                placed(initialization, CPU),
                self._training.placed(CPU),
                self._validation.placed(CPU),
                self._recipe.seed,
                self._recipe.selection.calibration_episodes,
            )
            record_calibration(self._folder / CHECKPOINT_FOLDER, calibration)

    def checkpoint(self) -> Checkpoint:
        """What the run has made, once `run` is through."""
        return load_checkpoint(self._folder / CHECKPOINT_FOLDER)

    def _beginning(self, number: int, initialization: Initialization) -> _Position:
        """Where a stage begins, and what it has to beat.

        Meta-training has to beat what it starts from, so that no stage makes things worse.
        """
        first_meta = self._first_meta_stage()
        start = initialization
        if number == first_meta:
            fresh = with_fresh_inner_loop(self._recipe, self._network, start.params)
            start = placed(fresh, self._device)
        score = self._held_out(start, adapted_accuracy) if number >= first_meta else -1.0
        return _Position(number, 0, start, _Best(score, start))

    def _run_stage(
        self, position: _Position, save_every_seconds: float
    ) -> Generator[Progress, None, _Best]:
        stage = self._stage(position.stage_number, position.start)
        if position.tensors and position.iteration < stage.iterations:
            stage.restore(position.tensors)
        best, last_save = position.best, time.monotonic()
        for iteration in range(position.iteration + 1, stage.iterations + 1):
            began = time.monotonic()
            measured = stage.update(iteration - 1)
            score = self._validate(stage, iteration)
            at_end = iteration == stage.iterations
            taken = at_end if self._takes_last(stage) else (score or 0) >= best.score
            if score is not None and taken:
                best = _Best(score, stage.initialization())
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
            if at_end or time.monotonic() - last_save >= save_every_seconds:
                self._save_state(replace(position, iteration=iteration, best=best), stage)
                last_save = time.monotonic()
            yield progress
        return best

    def _takes_last(self, stage: Stage) -> bool:
        """Tell whether a stage ends with its last state instead of its best on held-out classes.

        The rate of pre-training ends at 0: its last state is its best, give or take noise.
        """
        return isinstance(stage, Pretraining) or self._recipe.data.train_on_validation

    def _n_stages(self) -> int:
        return len(self._recipe.meta_training) + (self._recipe.pretraining is not None)

    def _first_meta_stage(self) -> int:
        return int(self._recipe.pretraining is not None)

    def _digest(self, number: int) -> str:
        """A sha256 over what a stage and those before it depend on.

        Settings at their default are left out, so that a new setting keeps older runs alive.
        """
        recipe, first_meta = self._recipe, self._first_meta_stage()
        parts = recipe.model_dump(
            mode="json",
            include={"seed", "data", "preprocessing", "network", "pretraining"},
            exclude_defaults=True,
        )
        if number >= first_meta:
            parts["selection"] = recipe.selection.model_dump(mode="json", exclude_defaults=True)
            parts["inner_loop"] = recipe.inner_loop.model_dump(mode="json", exclude_defaults=True)
            stages = recipe.meta_training[: number - first_meta + 1]
            parts["meta_training"] = [
                table.model_dump(mode="json", exclude_defaults=True) for table in stages
            ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _stage(self, number: int, start: Initialization) -> Stage:
        recipe = self._recipe
        seed = recipe.seed * 1000 + number
        if recipe.pretraining is not None and number == 0:
            return Pretraining(
                self._network, start, self._training, recipe.pretraining, self._background, seed
            )
        table = recipe.meta_training[number - self._first_meta_stage()]
        classes = self._training.mirrored() if table.mirrored else self._training
        return MetaTraining(self._network, start, classes, table, self._background, seed)

    def _validate(self, stage: Stage, iteration: int) -> float | None:
        selection = self._recipe.selection
        pretraining = isinstance(stage, Pretraining)
        every = (pretraining and selection.pretraining_every) or selection.every
        if iteration % every and iteration != stage.iterations:
            return None
        initialization = stage.initialization()
        if pretraining:
            return self._held_out(initialization, evaluate_nearest_centroid)
        return self._held_out(initialization, adapted_accuracy)

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

    def _publish(
        self, folder: str, initialization: Initialization, curves: Sequence[AdaptationCurve] = ()
    ) -> None:
        recipe, trained = self._recipe, initialization.inner_loop.steps
        validated = validated_steps(curves, trained) if curves else trained
        config = Config(
            name=recipe.name,
            description=recipe.description,
            network=describe(recipe.network.name, self._network),
            inner_loop=name_inner_loop(initialization.inner_loop, validated),
            preprocessing=describe(recipe.preprocessing.name, self._preprocessing),
            weights_sha256="",
            provenance=Provenance(
                data=recipe.data.description,
                n_classes=self._n_classes,
                validation_groups=recipe.data.validation_groups,
                licence=recipe.data.licence,
                recipe=self._named.source,
                recipe_sha256=self._named.sha256,
                command=f"inkling train {self._named.source.removesuffix('.toml')} --data PATH",
                seed=recipe.seed,
                versions={
                    "inkling": version("inkling"),
                    "torch": torch.__version__,
                    "python": platform.python_version(),
                },
            ),
        )
        pictures = self._pictures(curves, trained, validated) if curves else {}
        save_checkpoint(self._folder / folder, config, initialization, pictures)

    def _pictures(
        self, curves: Sequence[AdaptationCurve], trained: int, validated: int
    ) -> dict[str, bytes]:
        pictures = {
            ADAPTATION_CURVE: adaptation_curves(
                curves, trained=trained, validated=validated, classes="validation"
            )
        }
        if stages := read_log(self._folder / LOG_FILE):
            pictures[LEARNING_CURVE] = learning_curve(stages)
        return pictures

    def _log(self, progress: Progress) -> None:
        entry = {"time": time.time(), **vars(progress)}
        with (self._folder / LOG_FILE).open("a") as log:
            log.write(json.dumps(entry) + "\n")

    def _save_state(self, position: _Position, stage: Stage) -> None:
        tensors = {
            **_prefixed("stage.", stage.tensors()),
            **_prefixed("start.", to_tensors(position.start)),
            **_prefixed("best.", to_tensors(position.best.initialization)),
        }
        metadata = {
            "digest": self._digest(position.stage_number),
            "stage": str(position.stage_number),
            "iteration": str(position.iteration),
            "best_score": repr(position.best.score),
        }
        write_file(self._folder / STATE_FILE, encode_tensors(tensors, metadata))

    def _read_state(self) -> _Position | None:
        path = self._folder / STATE_FILE
        if not path.exists():
            return None
        tensors, metadata = read_tensors(path)
        number = int(metadata["stage"])
        if metadata["digest"] != self._digest(number):
            raise BadRecipe(
                f"{self._folder} holds a run whose stages so far had another recipe: choose "
                "another folder, or remove this one to start anew"
            )
        inner_loop = recipe_inner_loop(self._recipe)
        start, best = (
            placed(from_tensors(_unprefixed(prefix, tensors), inner_loop), self._device)
            for prefix in ("start.", "best.")
        )
        return _Position(
            stage_number=number,
            iteration=int(metadata["iteration"]),
            start=start,
            best=_Best(float(metadata["best_score"]), best),
            tensors=_unprefixed("stage.", tensors),
        )


def recipe_network(recipe: Recipe) -> Network:
    """The network that a recipe names.

    Raises BadRecipe for options it does not have, and for statistics that nothing would learn.
    """
    network: Network = _refusing(build_network, recipe.network)
    if recipe.pretraining is None and network.fixed():
        raise BadRecipe(
            "network.norm: 'stored' statistics are learned by pre-training, "
            "which this recipe leaves out; use norm = 'group' or add [pretraining]"
        )
    return network


def recipe_preprocessing(recipe: Recipe) -> Drawing:
    """The preprocessing that a recipe names, with the statistics it states (or none yet)."""
    return _refusing(build_preprocessing, recipe.preprocessing)


def standardized(preprocessing: Drawing, classes: ClassImages) -> Drawing:
    """The preprocessing with the mean and deviation of its output over training classes."""
    pixels = torch.cat(classes.images)
    return replace(preprocessing, mean=float(pixels.mean()), std=float(pixels.std()))


def standardize(classes: ClassImages, preprocessing: Drawing) -> ClassImages:
    """Apply mean and deviation to classes that were preprocessed without."""
    return replace(
        classes,
        images=tuple(
            (images - preprocessing.mean) / preprocessing.std for images in classes.images
        ),
    )


def recipe_inner_loop(recipe: Recipe) -> InnerLoop:
    """The inner loop that a recipe asks for."""
    table = recipe.inner_loop
    return InnerLoop(table.steps, table.head_start, table.query_views)


def fresh_initialization(recipe: Recipe, network: Network) -> Initialization:
    """What a run starts from: random parameters and the recipe's step sizes."""
    params = network.initialize(torch.Generator().manual_seed(recipe.seed))
    return with_fresh_inner_loop(recipe, network, params)


def with_fresh_inner_loop(recipe: Recipe, network: Network, params: Params) -> Initialization:
    """Parameters with the step sizes and the head's scale that the recipe starts from."""
    table = recipe.inner_loop
    sizes = {name: torch.full((table.steps,), table.head_step_size) for name in (WEIGHT, BIAS)}
    adapting = {"all": network.parts, "last": network.parts[-1:], "head": ()}[table.adapt]
    for name in sorted(frozenset().union(*adapting) - network.fixed()):
        own = params[name].shape if table.step_sizes_per == "number" else ()
        sizes[name] = torch.full((table.steps, *own), table.step_size)
    jitter = table.view_jitter
    widest = torch.tensor(
        [jitter.degrees, jitter.scale, jitter.aspect, jitter.shear, jitter.shift, jitter.shift]
    )
    return Initialization(
        params={**params, SCALE: torch.tensor(float(table.head_scale))},
        step_sizes=sizes,
        inner_loop=recipe_inner_loop(recipe),
        views=draw_views(table.view_pairs, widest, seeded(recipe.seed, VIEWS_DRAW)),
    )


def _refusing(build: Callable[[Named, str], Built], choice: Named) -> Built:
    try:
        return build(choice, "recipe")
    except BadCheckpoint as bad:
        raise BadRecipe(str(bad)) from None


def _prefixed(prefix: str, params: Params) -> Params:
    return {prefix + name: tensor for name, tensor in params.items()}


def _unprefixed(prefix: str, params: Params) -> Params:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in params.items()
        if name.startswith(prefix)
    }
