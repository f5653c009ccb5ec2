"""`config.json` of a checkpoint: what answers depend on (functional), and the card's facts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ..errors import BadCheckpoint
from ..images.preprocessing import PREPROCESSINGS, Preprocessing
from ..meta.head import HeadStart
from ..meta.inner_loop import InnerLoop
from ..meta.network import Network
from ..networks.catalogue import NETWORKS
from .calibration import Calibration
from .strict import Named, Strict, listed


class InnerLoopConfig(Strict):
    """The inner loop's settings; ``max_steps`` is the most that its adaptation curve validated.

    ``query_views`` tells that queries are classified by their mean features over the views too;
    None, which older files have, that they are not. ``damping`` is that of steps by curvature,
    ``half_features`` tells that frozen features are rounded to half precision.
    """

    steps: Annotated[int, Field(ge=1)]
    max_steps: Annotated[int, Field(ge=1)]
    head_start: HeadStart
    query_views: bool | None = None
    damping: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    half_features: bool | None = None

    def inner_loop(self) -> InnerLoop:
        """The inner loop that these settings describe."""
        return InnerLoop(
            self.steps,
            self.head_start,
            bool(self.query_views),
            self.damping,
            bool(self.half_features),
        )


class Result(Strict):
    """One measured accuracy: mean and half-width of its 95 % interval, in 0..1.

    ``difference_to_head_alone`` is to steps of the head without the network, paired by episode;
    ``warned`` has the shares of support sets that are warned about, by data, the split first;
    ``transductive`` tells that queries were normalised by all queries of their episode;
    ``by_group`` has the accuracies of single domains, where an episode is of one.
    """

    split: str
    n_way: int
    n_shot: int
    n_query: int
    episodes: int
    seed: int
    accuracy: float
    interval: float
    nearest_centroid: float
    nearest_centroid_interval: float
    difference_to_head_alone: float | None = None
    difference_to_head_alone_interval: float | None = None
    calibration_error: float | None = None
    none_of_these_auroc: float | None = None
    known_flagged: float | None = None
    warned: dict[str, float] | None = None
    transductive: bool = False
    by_group: dict[str, float] | None = None

    def told_split(self) -> str:
        """The split's name, which says of a transductive measurement that it is one."""
        return f"{self.split}, transductive" if self.transductive else self.split

    def same_setting(self, result: Result) -> bool:
        """Tell whether both were measured on the same episodes in the same way."""
        keys = ("split", "n_way", "n_shot", "n_query", "episodes", "seed", "transductive")
        return all(getattr(self, key) == getattr(result, key) for key in keys)


class Provenance(Strict):
    """What an initialization learned from, and how to make it again.

    ``learned_from_sha256`` is that of the file with the digests of what it learned from; None where
    there is none.
    """

    data: str
    n_classes: int
    validation_groups: list[str]
    licence: str
    recipe: str
    recipe_sha256: str
    command: str
    seed: int
    versions: dict[str, str]
    learned_from_sha256: str | None = None


class Config(Strict):
    """All of `config.json`."""

    format: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    description: str
    network: Named
    inner_loop: InnerLoopConfig
    preprocessing: Named
    weights_sha256: str
    half_weights: bool | None = None
    provenance: Provenance
    calibration: Calibration | None = None
    results: list[Result] = Field(default=[])

    def functional(self) -> dict[str, Any]:
        """What an answer depends on, the weights aside."""
        keys = {"network", "inner_loop", "preprocessing", "calibration"}
        return self.model_dump(mode="json", include=keys, exclude_none=True)

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def parse_config(text: str | bytes, where: str) -> Config:
    """Read `config.json`. Raises BadCheckpoint with every deviation found."""
    try:
        return Config.model_validate_json(text)
    except ValidationError as invalid:
        raise BadCheckpoint(f"{where}: {listed(invalid, 'file')}") from None


def build_network(named: Named, where: str) -> Network:
    """The network that a config names. Raises BadCheckpoint for an unknown name or option."""
    network: Network = _build("a network", NETWORKS, named, where)
    return network


def build_preprocessing(named: Named, where: str) -> Preprocessing:
    """The preprocessing that a config names. Raises BadCheckpoint likewise."""
    preprocessing: Preprocessing = _build("a preprocessing", PREPROCESSINGS, named, where)
    return preprocessing


def name_inner_loop(inner_loop: InnerLoop, max_steps: int) -> InnerLoopConfig:
    """Describe an inner loop for `config.json`."""
    return InnerLoopConfig(
        steps=inner_loop.steps,
        max_steps=max_steps,
        head_start=inner_loop.head_start,
        query_views=inner_loop.query_views or None,
        damping=inner_loop.damping,
        half_features=inner_loop.half_features or None,
    )


def describe(name: str, value: Any) -> Named:
    """Describe a network or preprocessing for `config.json`."""
    return Named(name=name, **dataclasses.asdict(value))


def _build(what: str, table: Mapping[str, type[Any]], named: Named, where: str) -> Any:
    kind = table.get(named.name)
    if kind is None:
        raise BadCheckpoint(
            f"{where}: expected {what} among {', '.join(table)}, got {named.name!r}"
        )
    unknown = set(named.options()) - {field.name for field in dataclasses.fields(kind)}
    if unknown:
        raise BadCheckpoint(f"{where}: {named.name} has no option {', '.join(sorted(unknown))}")
    try:
        return TypeAdapter(kind).validate_json(json.dumps(named.options()), strict=True)
    except ValidationError as invalid:
        raise BadCheckpoint(f"{where}: {named.name}: {listed(invalid, 'file')}") from None
