"""What the frozen trunk of a checkpoint makes of every photograph and its views, once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.domains import read
from inkling.data.sources import Split
from inkling.engine.compiled_trunk import CompiledTrunk
from inkling.images.decode import decode
from inkling.meta.inner_loop import rounded
from inkling.meta.views import with_views
from inkling.training.metric import network_with_metric


@dataclass(frozen=True)
class Features:
    """The classes of a domain: `(image, 1 + view, feature)` each.

    ``pooled`` are the means of the trunk's last maps, which a linear probe works on; ``own`` what
    the checkpoint's inner loop gets.
    """

    domain: str
    pooled: tuple[torch.Tensor, ...]
    own: tuple[torch.Tensor, ...]


@torch.no_grad()
def features_of(checkpoint: Checkpoint, data: Path, split: Split) -> Iterator[Features]:
    """The domains of a split, one after another."""
    network, initialization = checkpoint.network, checkpoint.initialization
    before_metric = len(network.parts) - 1
    trunk = CompiledTrunk(network, initialization.params, before_metric)
    views = torch.cat([initialization.views, checkpoint.further_views])
    last = network_with_metric(checkpoint).metric.last
    domain, pooled, own = "", list[torch.Tensor](), list[torch.Tensor]()
    for encoded in read(data, split):
        if pooled and encoded.group != domain:
            yield Features(domain, tuple(pooled), tuple(own))
            pooled, own = [], []
        domain = encoded.group
        images = []
        for _, content in encoded.files:
            rgba = decode(content, checkpoint.preprocessing.useful_side)
            seen = with_views(checkpoint.preprocessing.prepare([rgba]).images, views)[0]
            images.append(torch.cat([trunk(view.unsqueeze(0)) for view in seen]))
        rows = torch.stack(images)
        features = network.through(
            initialization.params, rows.flatten(0, 1), before_metric, before_metric + 1
        )
        features = rounded(initialization.inner_loop, features)
        pooled.append(rows[..., :last])
        own.append(features.view(*rows.shape[:2], -1))
    yield Features(domain, tuple(pooled), tuple(own))
