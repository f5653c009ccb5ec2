"""Recipes: all that decides what a training run learns, as a TOML file.

A recipe may name another recipe as its ``base`` and state only what differs: tables are merged
unless they name another kind, everything else, lists of stages too, replaces the base's.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ..checkpoints.strict import Named, Strict, listed
from ..data.episodes import EpisodeShape
from ..data.sources import DataFormat
from ..errors import BadRecipe
from ..meta.head import HeadStart
from ..meta.learners import META_LEARNERS
from ..networks.catalogue import NETWORKS

CALIBRATION_EPISODES = 100
RECIPES = Path(__file__).resolve().parent.parent / "recipes"

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Range = tuple[Positive, Positive]


class DataTable(Strict):
    """Where classes come from and which groups of them are kept for selection."""

    format: DataFormat
    description: str
    licence: str
    validation_groups: list[str] = Field(default=[])
    train_on_validation: bool = False
    """Learn from the validation classes too, once all is chosen; then no state is selected."""
    rotations: bool = False


class Jitter(Strict):
    """The widest random affine change: degrees, shares of the image, shares of the side."""

    degrees: float = 0
    scale: float = 0
    aspect: float = 0
    shear: float = 0
    shift: float = 0

    def widest(self) -> tuple[float, ...]:
        """The six numbers of a change in `meta.views`, with degrees for its radians."""
        return self.degrees, self.scale, self.aspect, self.shear, self.shift, self.shift


class PretrainingTable(Strict):
    """A plain classifier of all training classes with a cosine head."""

    iterations: Positive
    batch_size: Positive
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0)] = 0
    warmup: Annotated[int, Field(ge=0)] = 0
    cosine_scale: Rate = 10.0
    precision: Literal["float32", "bfloat16"] = "float32"
    jitter: Jitter = Jitter()


class InnerLoopTable(Strict):
    """The inner loop as it starts out; step sizes are learned from there."""

    steps: Positive
    head_start: HeadStart = "class_means"
    adapt: Literal["all", "last", "head"] = "all"
    """What adapts beside the head: the whole network, its last part, or nothing (ANIL)."""
    view_pairs: Annotated[int, Field(ge=0)] = 0
    """How many pairs of opposite views of the support images are adapted to beside them."""
    view_jitter: Jitter = Jitter()
    query_views: bool = False
    """Queries are classified by their mean features over the views too."""
    damping: Rate | None = None
    """The head steps in units of curvature, with this damping; None for plain gradients."""
    half_features: bool = False
    """What frozen parts make of images is rounded to half precision, in which sessions keep it."""
    step_sizes_per: Literal["tensor", "number"] = "tensor"
    """A step size for each tensor of the network, or for each of its values (Meta-SGD)."""
    step_size: Rate
    head_step_size: Rate
    head_scale: Rate


class MetaTrainingTable(Strict):
    """One stage of the outer loop, by one meta-learner."""

    learner: str
    iterations: Positive
    episodes_per_update: Positive
    n_way: Range
    n_shot: Range
    uneven: bool = False
    n_query: Positive
    learning_rate: Rate
    step_size_learning_rate: Rate
    warmup: Annotated[int, Field(ge=0)] = 0
    jitter: Jitter = Jitter()
    first_order_iterations: Annotated[int, Field(ge=0)] = 0
    """Derivative-order annealing (MAML++): "maml" is first order for so many updates."""
    multi_step_iterations: Annotated[int, Field(ge=0)] = 0
    """Multi-step loss (MAML++): its share falls from 1 to 0 over so many updates."""
    mirrored: bool = False
    """Episodes of mirrored images: classes that pre-training has not learned by heart."""

    def shape(self) -> EpisodeShape:
        """The episodes of this stage."""
        return EpisodeShape(self.n_way, self.n_shot, self.n_query, self.uneven)

    def check(self) -> None:
        """Raise ValueError for settings that do not go together."""
        if self.learner not in META_LEARNERS:
            raise ValueError(f"learner: expected one of {', '.join(META_LEARNERS)}")
        if self.first_order_iterations and self.learner != "maml":
            raise ValueError('first_order_iterations: only learner = "maml" has a second order')
        if self.multi_step_iterations and self.learner == "reptile":
            raise ValueError("multi_step_iterations: reptile has no query loss")
        for name in ("n_way", "n_shot"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: expected [smallest, largest], got [{low}, {high}]")


class SelectionTable(Strict):
    """How often and on what the best state is chosen: episodes of held-out classes."""

    every: Positive
    pretraining_every: Positive | None = None
    """Updates between measurements in pre-training, which selects nothing; ``every`` if None."""
    episodes: Positive
    settings: list[Range]
    n_query: Positive = 15
    calibration_episodes: Positive = CALIBRATION_EPISODES
    """Held-out episodes of each way and shot that the calibration is fitted on."""


class Recipe(Strict):
    """All of a recipe."""

    name: str
    description: str
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataTable
    preprocessing: Named
    network: Named
    inner_loop: InnerLoopTable
    pretraining: PretrainingTable | None = None
    meta_training: list[MetaTrainingTable]
    selection: SelectionTable

    @property
    def first_meta_stage(self) -> int:
        """How many stages come before meta-training."""
        return int(self.pretraining is not None)

    @property
    def n_stages(self) -> int:
        """Pre-training, where there is one, and all of meta-training."""
        return self.first_meta_stage + len(self.meta_training)

    @model_validator(mode="after")
    def _can_be_done(self) -> Recipe:
        if self.network.name not in NETWORKS:
            raise ValueError(f"network.name: expected one of {', '.join(NETWORKS)}")
        for stage in self.meta_training:
            stage.check()
            if stage.learner == "anil" and self.inner_loop.adapt != "head":
                raise ValueError('learner: "anil" needs adapt = "head" in [inner_loop]')
        return self


@dataclass(frozen=True)
class NamedRecipe:
    """A recipe with the name it was asked for by and the sha256 of its text."""

    recipe: Recipe
    source: str
    sha256: str


def load_recipe(name_or_path: str) -> NamedRecipe:
    """Read a recipe by path, or by name among those that ship with Inkling.

    Raises BadRecipe that lists every deviation.
    """
    path = _recipe_path(name_or_path, Path())
    tables, texts = _read_tables(path)
    try:
        recipe = Recipe.model_validate(tables)
    except ValidationError as invalid:
        raise BadRecipe(f"{path}: {listed(invalid, 'recipe')}") from None
    return NamedRecipe(recipe, path.name, hashlib.sha256(b"".join(texts)).hexdigest())


def shipped_recipes() -> list[str]:
    """Names of the recipes that ship with this installation."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def _read_tables(path: Path) -> tuple[dict[str, Any], list[bytes]]:
    """The tables of a recipe, merged with those of its bases, and the texts they come from."""
    texts: list[bytes] = []
    merged: dict[str, Any] = {}
    read: set[Path] = set()
    while path not in read:
        read.add(path)
        text = path.read_bytes()
        texts.append(text)
        try:
            tables = tomllib.loads(text.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
            raise BadRecipe(f"{path}: not a TOML file: {broken}") from None
        base = tables.pop("base", None)
        merged = _merged(tables, merged)
        if base is None:
            return merged, texts
        path = _recipe_path(str(base), path.parent)
    raise BadRecipe(f"{path}: a recipe cannot be its own base")


def _recipe_path(name_or_path: str, folder: Path) -> Path:
    for path in (folder / name_or_path, RECIPES / f"{name_or_path}.toml"):
        if path.is_file():
            return path
    raise BadRecipe(
        f"expected a recipe file or one of {', '.join(shipped_recipes())}, got {name_or_path!r}"
    )


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        old = base.get(name)
        if isinstance(old, dict) and isinstance(value, dict) and _of_a_kind(old, value):
            merged[name] = _merged(old, value)
        else:
            merged[name] = value
    return merged


def _of_a_kind(base: dict[str, Any], changes: dict[str, Any]) -> bool:
    return "name" not in changes or changes["name"] == base.get("name")
