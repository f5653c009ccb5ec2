"""What a training run makes: checkpoints with their pictures and their calibration."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from ..checkpoints.card import ADAPTATION_CURVE, LEARNING_CURVE
from ..checkpoints.checkpoint import record_calibration, save_checkpoint
from ..checkpoints.config import Config, Provenance, describe, name_inner_loop
from ..checkpoints.learned_from import LearnedFrom
from ..data.episodes import ClassImages
from ..errors import BadData
from ..images.preprocessing import Preprocessing
from ..meta.inner_loop import Initialization
from ..meta.network import Network
from .adaptation_curve import AdaptationCurve, validated_steps
from .calibration import fit_calibration
from .candidate import Inductive
from .figures import adaptation_curves, learning_curve, read_log
from .recipes import NamedRecipe

LOG_FILE = "log.jsonl"


def versions() -> dict[str, str]:
    """What a card says that its checkpoint was made with."""
    return {
        "inkling": version("inkling"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


class Publisher:
    """Writes the checkpoints of one run, each into a folder of its own below the run's."""

    def __init__(
        self,
        named: NamedRecipe,
        folder: Path,
        network: Network,
        preprocessing: Preprocessing,
        n_classes: int,
        learned_from: LearnedFrom,
    ) -> None:
        self._named, self._recipe, self._folder = named, named.recipe, folder
        self._network, self._preprocessing = network, preprocessing
        self._n_classes, self._learned_from = n_classes, learned_from

    def publish(
        self, name: str, initialization: Initialization, curves: Sequence[AdaptationCurve] = ()
    ) -> Path:
        """Write a checkpoint and return its folder; with ``curves`` it has pictures beside it.

        The most steps that it accepts are those that the curves validate.
        """
        trained = initialization.inner_loop.steps
        validated = validated_steps(curves, trained) if curves else trained
        pictures = self._pictures(curves, trained, validated) if curves else {}
        config = self._config(initialization, validated)
        save_checkpoint(
            self._folder / name,
            config,
            initialization,
            pictures,
            learned_from=self._learned_from,
        )
        return self._folder / name

    def calibrate(self, name: str, candidate: Inductive, training: ClassImages) -> None:
        """Fit a calibration on the candidate's held-out classes, and put it into a checkpoint.

        Too few held-out images leave the checkpoint without one.
        """
        with contextlib.suppress(BadData):
            calibration = fit_calibration(
                candidate,
                training,
                self._preprocessing,
                self._recipe.seed,
                self._recipe.selection.calibration_episodes,
            )
            record_calibration(self._folder / name, calibration)

    def _config(self, initialization: Initialization, max_steps: int) -> Config:
        recipe = self._recipe
        return Config(
            name=recipe.name,
            description=recipe.description,
            network=describe(recipe.network.name, self._network),
            inner_loop=name_inner_loop(initialization.inner_loop, max_steps),
            preprocessing=describe(recipe.preprocessing.name, self._preprocessing),
            weights_sha256="",
            provenance=self._provenance(),
        )

    def _provenance(self) -> Provenance:
        recipe, source = self._recipe, self._named.source
        return Provenance(
            data=recipe.data.description,
            n_classes=self._n_classes,
            validation_groups=recipe.data.validation_groups,
            licence=recipe.data.licence,
            recipe=source,
            recipe_sha256=self._named.sha256,
            command=f"inkling train {source.removesuffix('.toml')} --data PATH",
            seed=recipe.seed,
            versions=versions(),
        )

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
