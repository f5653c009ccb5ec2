"""A checkpoint: a folder with `config.json`, `model.safetensors` and its card `README.md`.

What it learned from (see `learned_from`) and pictures of its training may lie beside them; no
answer depends on these.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import BadCheckpoint
from ..images.preprocessing import Preprocessing
from ..meta.head import BIAS, SCALE, WEIGHT
from ..meta.inner_loop import Initialization, InnerLoop
from ..meta.network import Network
from ..meta.params import Params, copied_channels_last, prefixed, unprefixed
from ..meta.scores import Scoring
from ..meta.views import SHAPE as VIEW_SHAPE
from ..meta.views import no_views
from .calibration import Calibration
from .card import CAPTIONS, card
from .config import Config, Result, build_network, build_preprocessing, parse_config
from .learned_from import LearnedFrom, write_learned_from
from .tensor_files import encode_tensors, read_tensors, write_file

CONFIG_FILE, WEIGHTS_FILE, CARD_FILE = "config.json", "model.safetensors", "README.md"
FLOAT32, HALF = torch.float32, torch.float16
PARAM, STEP_SIZE, VIEWS, FURTHER_VIEWS = "param.", "step_size.", "views", "further_views"


@dataclass(frozen=True)
class Checkpoint:
    """An initialization with all that belongs to it.

    ``identity`` is a sha256 over the functional config and the weights: two checkpoints that
    answer alike share it, whatever their cards say. ``further_views`` `(view, 2, 3)` are those that
    a call may ask for behind the initialization's own.
    """

    config: Config
    network: Network
    preprocessing: Preprocessing
    initialization: Initialization
    identity: str
    further_views: torch.Tensor

    @property
    def scoring(self) -> Scoring:
        """How its logits become answers: by the fitted temperature and limit, if there are such."""
        calibration, scale = self.config.calibration, float(self.initialization.params[SCALE])
        if calibration is None:
            return Scoring(scale)
        return Scoring(scale, calibration.temperature, calibration.none_of_these)

    def named(self, name: str) -> Checkpoint:
        """The same checkpoint under another name; its identity stays. Raises BadCheckpoint."""
        renamed = {**self.config.model_dump(mode="json"), "name": name}
        return replace(self, config=parse_config(json.dumps(renamed), f"name {name!r}"))

    @property
    def name(self) -> str:
        """The name that calls choose it by."""
        return self.config.name


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint and check all of it.

    Raises BadCheckpoint when a file is missing, the weights are not those of the config (names,
    shapes, dtypes, sha256), the preprocessing does not make what the network takes, the likeness
    is not of the preprocessing's statistics, or a number is not finite.
    """
    try:
        text = (folder / CONFIG_FILE).read_bytes()
        digest = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    except OSError as missing:
        raise BadCheckpoint(f"{folder}: expected a checkpoint folder: {missing}") from None
    config = parse_config(text, str(folder / CONFIG_FILE))
    if digest != config.weights_sha256:
        raise BadCheckpoint(
            f"{folder / WEIGHTS_FILE}: expected sha256 {config.weights_sha256}, got {digest}"
        )
    tensors, _ = read_tensors(folder / WEIGHTS_FILE)
    network = build_network(config.network, str(folder))
    preprocessing = build_preprocessing(config.preprocessing, str(folder))
    _check_input(network, preprocessing, str(folder))
    _check_likeness(config, preprocessing, str(folder))
    initialization = _initialization(tensors, network, config, str(folder))
    return Checkpoint(
        config=config,
        network=network,
        preprocessing=preprocessing,
        initialization=replace(initialization, params=copied_channels_last(initialization.params)),
        identity=_identity(config),
        further_views=tensors.get(FURTHER_VIEWS, no_views()),
    )


def save_checkpoint(
    folder: Path,
    config: Config,
    initialization: Initialization,
    pictures: Mapping[str, bytes] | None = None,
    further_views: torch.Tensor | None = None,
    learned_from: LearnedFrom | None = None,
) -> None:
    """Write a checkpoint folder; its weights' sha256 is put into the config.

    With ``config.half_weights`` kernels and matrices are rounded to half precision; vectors, of
    which some have numbers too small for it, are not.

    ``pictures`` are PNG files by name, among `CAPTIONS`, which the card shows. Without
    ``learned_from`` the checkpoint does not tell what files it learned from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (pictures or {}).items():
        write_file(folder / name, content)
    tensors = to_tensors(initialization)
    if config.half_weights:
        tensors = {name: _in_half(tensor) for name, tensor in tensors.items()}
    if further_views is not None and len(further_views):
        tensors[FURTHER_VIEWS] = further_views
    weights = encode_tensors(tensors)
    sealed = config.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    write_file(folder / WEIGHTS_FILE, weights)
    _write_config(folder, write_learned_from(folder, sealed, learned_from))


def record_result(folder: Path, result: Result) -> None:
    """Add a measured accuracy to the config and the card; it replaces that of its setting."""
    config = load_checkpoint(folder).config
    kept = [earlier for earlier in config.results if not earlier.same_setting(result)]
    _write_config(folder, config.model_copy(update={"results": [*kept, result]}))


def record_calibration(
    folder: Path, calibration: Calibration, groups: Sequence[str] | None = None
) -> None:
    """Put a calibration into the config and the card, and the groups of classes it was fitted on.

    It changes answers, so it changes the identity, and drops the results measured before.
    """
    config = load_checkpoint(folder).config
    changed: dict[str, Any] = {"calibration": calibration, "results": []}
    if groups is not None:
        selected_on = {"validation_groups": list(groups)}
        changed["provenance"] = config.provenance.model_copy(update=selected_on)
    _write_config(folder, config.model_copy(update=changed))


def record_learned_from(folder: Path, learned_from: LearnedFrom) -> None:
    """Put what a checkpoint learned from beside its config; its identity stays."""
    config = load_checkpoint(folder).config
    _write_config(folder, write_learned_from(folder, config, learned_from))


def _write_config(folder: Path, config: Config) -> None:
    """Write the config and the card that follows from it and from the pictures beside it."""
    write_file(folder / CONFIG_FILE, config.to_json().encode())
    pictures = [name for name in CAPTIONS if (folder / name).exists()]
    write_file(folder / CARD_FILE, card(config, _identity(config), pictures).encode())


def _in_half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(HALF) if tensor.dim() >= 2 and tensor.shape[1:] != VIEW_SHAPE else tensor


def to_tensors(initialization: Initialization) -> dict[str, torch.Tensor]:
    """The tensors of an initialization under the names that they have in files."""
    return {
        **prefixed(PARAM, initialization.params),
        **prefixed(STEP_SIZE, initialization.step_sizes),
        **({VIEWS: initialization.views} if len(initialization.views) else {}),
    }


def from_tensors(tensors: Params, inner_loop: InnerLoop) -> Initialization:
    """The inverse of `to_tensors`."""
    return Initialization(
        params=unprefixed(PARAM, tensors),
        step_sizes=unprefixed(STEP_SIZE, tensors),
        inner_loop=inner_loop,
        views=tensors.get(VIEWS, no_views()),
    )


def _check_input(network: Network, preprocessing: Preprocessing, where: str) -> None:
    blank = torch.zeros(network.input_shape[1], network.input_shape[2], 4, dtype=torch.uint8)
    got = tuple(preprocessing(blank).shape)
    if got != network.input_shape:
        raise BadCheckpoint(
            f"{where}: preprocessing makes images of shape {got}, the network takes "
            f"{network.input_shape}"
        )


def _check_likeness(config: Config, preprocessing: Preprocessing, where: str) -> None:
    if config.calibration is None:
        return
    expected, got = len(preprocessing.statistic_names), len(config.calibration.likeness.means)
    if got != expected:
        raise BadCheckpoint(
            f"{where}: calibration.likeness.means: expected {expected} statistics, got {got}"
        )


def _initialization(
    tensors: dict[str, torch.Tensor], network: Network, config: Config, where: str
) -> Initialization:
    initialization = from_tensors(
        {name: tensor.to(FLOAT32) for name, tensor in tensors.items()},
        config.inner_loop.inner_loop(),
    )
    _check_tensors(tensors, initialization, network, where)
    return initialization


def _check_tensors(
    tensors: dict[str, torch.Tensor], initialization: Initialization, network: Network, where: str
) -> None:
    inner_loop = initialization.inner_loop
    expected = {
        PARAM + name: tuple(tensor.shape)
        for name, tensor in network.initialize(torch.Generator()).items()
    } | {PARAM + SCALE: ()}
    adaptable = {name.removeprefix(PARAM) for name in expected} | {WEIGHT, BIAS}
    for name, sizes in initialization.step_sizes.items():
        if name not in adaptable - network.fixed():
            raise BadCheckpoint(f"{where}: {name} cannot adapt, yet has step sizes")
        per_tensor = (inner_loop.steps,)
        per_number = per_tensor + expected.get(PARAM + name, ())
        expected[STEP_SIZE + name] = per_tensor if sizes.dim() == 1 else per_number
    for name in (VIEWS, FURTHER_VIEWS):
        if name in tensors:
            expected[name] = (len(tensors[name]), *VIEW_SHAPE)
    if inner_loop.damping is not None:
        expected.setdefault(STEP_SIZE + WEIGHT, (inner_loop.steps,))
    if missing := sorted(expected.keys() - tensors.keys()):
        raise BadCheckpoint(f"{where}: expected tensors that are missing: {', '.join(missing)}")
    if unknown := sorted(tensors.keys() - expected.keys()):
        raise BadCheckpoint(f"{where}: got tensors that do not belong: {', '.join(unknown)}")
    _check_numbers(tensors, expected, where)


def _check_numbers(
    tensors: dict[str, torch.Tensor], expected: dict[str, tuple[int, ...]], where: str
) -> None:
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != expected[name] or tensor.dtype not in (FLOAT32, HALF):
            raise BadCheckpoint(
                f"{where}: {name}: expected float32 {expected[name]}, "
                f"got {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise BadCheckpoint(f"{where}: {name} has numbers that are not finite")


def _identity(config: Config) -> str:
    functional = json.dumps(config.functional(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{functional}\n{config.weights_sha256}".encode()).hexdigest()
