"""A small initialization for photographs, of drawn weights."""

from __future__ import annotations

from pathlib import Path

import torch
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inkling.checkpoints.config import describe, name_inner_loop
from inkling.images.photograph import Photograph
from inkling.meta.head import BIAS, SCALE, WEIGHT
from inkling.meta.inner_loop import Initialization, InnerLoop
from inkling.meta.views import no_views
from inkling.networks.efficientnet_lite import EfficientNetLite

STEPS = 2


def saved_for_photographs(folder: Path, like: Checkpoint, size: int = 64) -> Path:
    """Write it to a folder, of whose name it is; what its card says is taken from ``like``."""
    network = EfficientNetLite(0, size)
    initialization = Initialization(
        params={
            **network.initialize(torch.Generator().manual_seed(0)),
            SCALE: torch.tensor(10.0),
        },
        step_sizes={kind: torch.ones(STEPS) for kind in (WEIGHT, BIAS)},
        inner_loop=InnerLoop(STEPS, "class_means", damping=0.01),
        views=no_views(),
    )
    config = like.config.model_copy(
        update={
            "name": folder.name,
            "network": describe("efficientnet_lite", network),
            "inner_loop": name_inner_loop(initialization.inner_loop, STEPS),
            "preprocessing": describe("photograph", Photograph(size)),
            "calibration": None,
            "results": [],
        }
    )
    save_checkpoint(folder, config, initialization)
    load_checkpoint(folder)
    return folder
