"""The state file of a training run: all that its later updates depend on.

`state.safetensors` is written when the run begins and while it goes on, and tells its recipe and
its data. Once pre-training is through it is kept as `pretraining.safetensors`, from which any
recipe with the same pre-training can begin its meta-training on the same data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ..checkpoints.checkpoint import from_tensors, to_tensors
from ..checkpoints.tensor_files import encode_tensors, read_tensors, write_file
from ..errors import BadData, BadRecipe
from ..meta.inner_loop import Initialization
from ..meta.params import Params, prefixed, unprefixed
from ..meta.placement import placed
from .recipes import Recipe
from .run_data import RunData
from .start import recipe_inner_loop

STATE_FILE, PRETRAINING_FILE = "state.safetensors", "pretraining.safetensors"


@dataclass(frozen=True)
class Best:
    """The best initialization of a stage so far, and its accuracy on held-out classes in 0..1."""

    score: float
    initialization: Initialization


@dataclass(frozen=True)
class Position:
    """Where a run is: within a stage that began at ``start``, with the stage's own state."""

    stage_number: int
    iteration: int
    start: Initialization
    best: Best
    tensors: Params | None = None


class RunState:
    """The state file in one run's folder."""

    def __init__(self, recipe: Recipe, data: RunData, folder: Path, device: torch.device) -> None:
        self._recipe, self._data, self._folder, self._device = recipe, data, folder, device
        self._path = folder / STATE_FILE

    def save(self, position: Position) -> None:
        """Write a position, which has the tensors of its stage unless that is about to begin."""
        tensors = {
            **prefixed("stage.", position.tensors or {}),
            **prefixed("start.", to_tensors(position.start)),
            **prefixed("best.", to_tensors(position.best.initialization)),
        }
        metadata = {
            "digest": digest(self._recipe, position.stage_number),
            "data": self._data.to_json(),
            "stage": str(position.stage_number),
            "iteration": str(position.iteration),
            "best_score": repr(position.best.score),
        }
        write_file(self._path, encode_tensors(tensors, metadata))

    def read(self) -> Position | None:
        """The saved position, if there is one.

        Raises BadRecipe when the stages up to it had another recipe, BadData when they learned
        from other data.
        """
        if not self._path.exists():
            return None
        tensors, metadata = read_tensors(self._path)
        stage_number = int(metadata["stage"])
        if metadata["digest"] != digest(self._recipe, stage_number):
            raise BadRecipe(
                f"{self._folder} holds a run whose stages so far had another recipe: choose "
                "another folder, or remove this one to start anew"
            )
        if changes := self._changes_since(metadata):
            raise BadData(
                f"{self._folder} holds a run that began with other data (train and validation): "
                f"{changes}. Choose another --output, delete the folder to start anew, or bring "
                "that data back to go on"
            )
        inner_loop = recipe_inner_loop(self._recipe)
        start, best = (
            placed(from_tensors(unprefixed(prefix, tensors), inner_loop), self._device)
            for prefix in ("start.", "best.")
        )
        return Position(
            stage_number=stage_number,
            iteration=int(metadata["iteration"]),
            start=start,
            best=Best(float(metadata["best_score"]), best),
            tensors=unprefixed("stage.", tensors),
        )

    def keep_pretraining(self) -> None:
        """Keep the state at the end of pre-training, which the next stage's is about to replace."""
        write_file(self._folder / PRETRAINING_FILE, self._path.read_bytes())

    def take_over_pretraining(self, folder: Path) -> None:
        """Begin from the finished pre-training of the run in ``folder``.

        A run that has a state already goes on from that. Raises BadRecipe when the run in
        ``folder`` has not finished its pre-training or had another recipe for it, BadData when it
        learned from other data.
        """
        kept = folder / PRETRAINING_FILE
        if not kept.is_file():
            raise BadRecipe(f"{folder}: expected a run that has finished its pre-training")
        _, metadata = read_tensors(kept)
        if self._recipe.pretraining is None or metadata["digest"] != digest(self._recipe, 0):
            raise BadRecipe(
                f"{folder}: its pre-training is not this recipe's: seed, data, preprocessing, "
                "network and pretraining have to be the same"
            )
        if changes := self._changes_since(metadata):
            raise BadData(
                f"{folder}: its pre-training learned from other data: {changes}. Train without "
                "--pretraining, or on that data"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            write_file(self._path, kept.read_bytes())

    def _changes_since(self, metadata: Mapping[str, str]) -> str:
        """What is other than in the data of a state, in words; nothing where it is the same."""
        if "data" not in metadata:
            return "an older version wrote its state, which does not tell"
        return self._data.changes_since(RunData.from_json(metadata["data"]))


def digest(recipe: Recipe, stage_number: int) -> str:
    """A sha256 over what a stage and those before it depend on.

    Settings at their default are left out, so that a new setting keeps older runs alive.
    """
    first_meta = recipe.first_meta_stage
    parts = recipe.model_dump(
        mode="json",
        include={"seed", "data", "preprocessing", "network", "pretraining"},
        exclude_defaults=True,
    )
    if stage_number >= first_meta:
        parts["selection"] = recipe.selection.model_dump(mode="json", exclude_defaults=True)
        parts["inner_loop"] = recipe.inner_loop.model_dump(mode="json", exclude_defaults=True)
        stages = recipe.meta_training[: stage_number - first_meta + 1]
        parts["meta_training"] = [
            table.model_dump(mode="json", exclude_defaults=True) for table in stages
        ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
