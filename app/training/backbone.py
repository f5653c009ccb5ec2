"""A checkpoint from the published weights of a backbone: what can be served and trained from.

Nothing is learned across domains yet: its head alone adapts, in units of curvature, by step sizes
of 1, on features whose metric changes nothing.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch

from ..checkpoints.checkpoint import save_checkpoint
from ..checkpoints.config import Config, Provenance, describe, name_inner_loop
from ..checkpoints.learned_from import UNKNOWN
from ..checkpoints.tensor_files import read_tensors
from ..errors import BadData
from ..images.photograph import Photograph
from ..meta.head import BIAS, SCALE, WEIGHT
from ..meta.inner_loop import Initialization, InnerLoop
from ..networks.catalogue import name_of
from ..networks.published import BACKBONES, SHA256, Published, recognised
from .publish import versions

STEPS, DAMPING, HEAD_SCALE = 5, 0.01, 8.0
CLOSER, CLOSEST = 0.8, 0.65
"""The shares of an image's side that closer views show."""
SAFETENSORS = ".safetensors"


def import_backbone(
    weights: Path,
    backbone: str,
    folder: Path,
    name: str,
    sha256: str | None = None,
    *,
    half: bool = False,
) -> None:
    """Write a checkpoint folder from a state dict; ``backbone`` is one of `BACKBONES`.

    With ``half`` kernels and matrices are written in half precision.

    Raises BadData for a file of another sha256 than ``sha256`` or than that of the one published
    file, where there is just one, and for one that is not a state dict of the backbone's tensors.
    It is read as tensors alone, and only once its sha256 is known to be right.
    """
    try:
        content = weights.read_bytes()
    except OSError as missing:
        raise BadData(f"expected a file of published weights: {missing}") from None
    digest = hashlib.sha256(content).hexdigest()
    for expected in (SHA256.get(backbone), sha256):
        if expected is not None and expected.lower() != digest:
            raise BadData(
                f"{weights}: expected weights of {backbone} of sha256 {expected}, got {digest}"
            )
    state = _state_dict(weights, content)
    published = recognised(BACKBONES[backbone](), state)
    initialization = Initialization(
        params={**published.params(state), SCALE: torch.tensor(HEAD_SCALE)},
        step_sizes={kind: torch.ones(STEPS) for kind in (WEIGHT, BIAS)},
        inner_loop=InnerLoop(
            STEPS, "close_means", query_views=True, damping=DAMPING, half_features=True
        ),
        views=torch.tensor([_view(CLOSER, mirrored=True)]),
    )
    further = [_view(1, mirrored=True), _view(CLOSEST)]
    further += [_view(CLOSER, aside=0.2), _view(CLOSER, mirrored=True, aside=-0.2)]
    network = published.network
    config = Config(
        name=name,
        description=(
            f"Photographs, by {published.title} with published weights: its head alone adapts, "
            "and nothing was meta-trained."
        ),
        network=describe(name_of(network), network),
        inner_loop=name_inner_loop(initialization.inner_loop, 2 * STEPS),
        preprocessing=describe("photograph", Photograph(network.image_size, *published.scaling)),
        weights_sha256="",
        half_weights=half or None,
        provenance=_provenance(published, backbone, digest, state),
    )
    save_checkpoint(folder, config, initialization, None, torch.tensor(further), UNKNOWN)


def _view(share: float, *, mirrored: bool = False, aside: float = 0.0) -> list[list[float]]:
    """`(2, 3)`: a square of that share of the side, moved towards a corner by shares of half."""
    return [[-share if mirrored else share, 0.0, aside], [0.0, share, aside]]


def _state_dict(weights: Path, content: bytes) -> Mapping[str, torch.Tensor]:
    """The tensors of a file, a safetensors one by its name, else one of torch's.

    Raises BadCheckpoint for a damaged safetensors file, BadData for another one.
    """
    if weights.suffix == SAFETENSORS:
        return read_tensors(weights)[0]
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as broken:
        reason = str(broken).partition("\n")[0]
        raise BadData(
            f"{weights}: expected a state dict of tensors alone, as torch saves it: {reason}"
        ) from None
    if not isinstance(state, Mapping):
        raise BadData(f"{weights}: expected a state dict, got {type(state).__name__}")
    others = [str(key) for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise BadData(
            f"{weights}: expected a state dict, which has tensors alone, got other things as "
            f"{', '.join(others[:8])}"
        )
    return state


def _provenance(
    published: Published, backbone: str, digest: str, state: Mapping[str, torch.Tensor]
) -> Provenance:
    known = digest == SHA256.get(backbone)
    return Provenance(
        data="ImageNet (ILSVRC 2012), by published weights"
        if known
        else "ImageNet (ILSVRC 2012), unless the publisher of the weights says otherwise",
        n_classes=published.n_classes(state),
        validation_groups=["nothing"],
        licence="ImageNet's terms; of the weights Apache-2.0"
        if known
        else "ImageNet's terms; of the weights those of their publisher",
        recipe=published.publisher if known else f"weights in the names of {published.publisher}",
        recipe_sha256=digest,
        command=f"inkling import-backbone FILE FOLDER --network {backbone}",
        seed=0,
        versions=versions(),
    )
