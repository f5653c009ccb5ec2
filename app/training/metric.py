"""The metric of a backbone's features, in closed form from classes of many domains.

Within a class, features spread most along what images differ in whatever they show: light, scale,
pose. The metric takes the mean of all domains for its centre and evens out that spread, as
Mahalanobis distances do, by the covariance within classes, shrunk towards the identity. Domains
weigh alike, however many images each has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ..checkpoints.learned_from import UNKNOWN, read_learned_from
from ..data.episodes import ClassImages, in_parts
from ..data.sources import ClassFiles
from ..errors import BadData
from ..meta.params import Params
from ..meta.views import with_views
from ..networks.metric import CENTRE, SHARE, WEIGHT, HasMetric, Metric

BESIDE = 0.7
"""The share of the maps before, beside 1 of the last ones: it tells domains apart that pre-training
never saw, and blurs those that it knows."""
SHRINKAGE = 0.3
"""Of the covariance, towards its mean variance in every direction."""


@dataclass(frozen=True)
class PooledClass:
    """The `(row, size)` means and deviations of a class's images and views, and its group."""

    group: str
    rows: torch.Tensor


@torch.no_grad()
def pooled(checkpoint: Checkpoint, classes: ClassImages) -> Iterator[PooledClass]:
    """What the network makes of each class before its metric: every view of an image is a row.

    Raises BadData for a checkpoint whose network has no metric.
    """
    network, initialization = network_with_metric(checkpoint), checkpoint.initialization
    stop = len(network.parts) - 1
    for group, images in zip(classes.groups, classes.images, strict=True):
        rows = [
            network.through(
                initialization.params,
                with_views(some, initialization.views).flatten(0, 1),
                0,
                stop,
            )
            for some in in_parts(images)
        ]
        yield PooledClass(group, torch.cat(rows))


def fit_metric(metric: Metric, classes: Sequence[PooledClass]) -> Params:
    """The fitted tensors of a metric, for what comes before it.

    Raises BadData unless every group of classes has one of two rows or more.
    """
    groups: dict[str, list[torch.Tensor]] = defaultdict(list)
    for each in classes:
        groups[each.group].append(metric.rooted(each.rows).to(torch.float64))
    centre, weight = _even(groups)
    return {
        CENTRE: centre.to(torch.float32),
        WEIGHT: weight.to(torch.float32),
        SHARE: torch.tensor(BESIDE),
    }


def record_metric(
    folder: Path,
    classes: Sequence[PooledClass],
    files: Sequence[ClassFiles],
    data: str,
    licence: str,
    description: str | None = None,
) -> None:
    """Fit the metric of a checkpoint, and write it into its folder; see `fit_metric`.

    ``files`` are what the classes were read from, which the checkpoint tells from now on.
    Its calibration and its results are dropped, which were of another metric.
    """
    loaded = load_checkpoint(folder)
    initialization, provenance = loaded.initialization, loaded.config.provenance
    metric = fit_metric(network_with_metric(loaded).metric, classes)
    learned: dict[str, Any] = {
        "description": description or loaded.config.description,
        "calibration": None,
        "results": [],
        "provenance": provenance.model_copy(
            update={
                "data": f"{provenance.data}; a metric from {data}",
                "licence": f"{provenance.licence}; of what the metric learned from: {licence}",
                "n_classes": provenance.n_classes + len(classes),
            }
        ),
    }
    save_checkpoint(
        folder,
        loaded.config.model_copy(update=learned),
        replace(initialization, params={**initialization.params, **metric}),
        further_views=loaded.further_views,
        learned_from=(read_learned_from(folder, loaded.config) or UNKNOWN).trained_on(files),
    )


def network_with_metric(checkpoint: Checkpoint) -> HasMetric:
    """A checkpoint's network. Raises BadData for one without a metric."""
    if not isinstance(checkpoint.network, HasMetric):
        raise BadData(
            "expected a network with a metric, as efficientnet_lite has one, got "
            f"{checkpoint.config.network.name}"
        )
    return checkpoint.network


def _even(groups: dict[str, list[torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """The `(size,)` centre and `(size, size)` weight for classes of `(row, size)` by group."""
    every = torch.cat([rows for classes in groups.values() for rows in classes])
    scale = 1 / every.std(0, correction=0).clamp(min=1e-6)
    centre = torch.stack([torch.cat(classes).mean(0) for classes in groups.values()]).mean(0)
    covariances = [_within(group, classes, scale) for group, classes in groups.items()]
    variances, directions = torch.linalg.eigh(torch.stack(covariances).mean(0))
    evened = (variances / variances.mean() + SHRINKAGE).rsqrt()
    return centre, scale.unsqueeze(1) * directions * evened


def _within(group: str, classes: list[torch.Tensor], scale: torch.Tensor) -> torch.Tensor:
    """The covariance of scaled rows around the mean of their class, over a group's classes."""
    centred = torch.cat([(rows - rows.mean(0)) * scale for rows in classes])
    freedom = len(centred) - len(classes)
    if freedom < 1:
        raise BadData(f"{group}: expected a class of two images or more")
    return centred.T @ centred / freedom
