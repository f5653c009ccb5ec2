"""The classifiers that are compared on the same episodes, at the same views."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.meta.episode import Support
from inkling.meta.head import class_means, unit
from inkling.meta.inner_loop import logits_from_frozen, trajectory_from_frozen
from inkling.meta.params import Params
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

STRENGTHS = (1.0, 10.0, 100.0)
"""The inverse regularizations C of the linear probe, of which validation domains choose."""
Classifier = Callable[[Support, torch.Tensor], torch.Tensor]
"""From `(support, 1 + view, feature)` and `(query, 1 + view, feature)` to `(query,)` labels."""


class _Kept:
    """The network of a checkpoint behind all that is frozen: nothing."""

    parts: tuple[frozenset[str], ...] = ()

    def __init__(self, feature_size: int) -> None:
        self.feature_size = feature_size

    def through(
        self, _params: Params, hidden: torch.Tensor, _first: int, _stop: int
    ) -> torch.Tensor:
        return hidden


@dataclass(frozen=True)
class Inkling:
    """The checkpoint's inner loop on its own features, and its start."""

    checkpoint: Checkpoint

    def logits(
        self, support: Support, queries: torch.Tensor, steps: int | None = None
    ) -> torch.Tensor:
        initialization = self.checkpoint.initialization
        network = _Kept(queries.shape[-1])
        *_, last = trajectory_from_frozen(network, initialization, support, steps=steps)  # type: ignore[arg-type]
        return logits_from_frozen(network, initialization, last.fast_weights, queries)  # type: ignore[arg-type]

    def __call__(self, support: Support, queries: torch.Tensor) -> torch.Tensor:
        return self.logits(support, queries).argmax(1)

    def at_start(self, support: Support, queries: torch.Tensor) -> torch.Tensor:
        """The same after no step."""
        return self.logits(support, queries, 0).argmax(1)


def _averaged(features: torch.Tensor) -> torch.Tensor:
    """`(image, feature)` unit vectors: the mean of the unit features of an image's views."""
    return unit(unit(features.flatten(0, 1)).view_as(features).mean(1))


def nearest_centroid(support: Support, queries: torch.Tensor) -> torch.Tensor:
    """The nearest class mean of unit features averaged over views."""
    means = class_means(_averaged(support.images), replace(support, images=support.images[:, 0]))
    return torch.cdist(_averaged(queries), means).argmin(1)


def probe(strength: float, *, views_as_rows: bool) -> Classifier:
    """LogisticRegression on unit features; views of support images are averaged, or rows."""

    def classify(support: Support, queries: torch.Tensor) -> torch.Tensor:
        n_views = support.images.shape[1]
        if views_as_rows:
            rows = unit(support.images.flatten(0, 1))
            labels = support.labels.repeat_interleave(n_views)
        else:
            rows, labels = _averaged(support.images), support.labels
        fitted = LogisticRegression(C=strength, max_iter=1000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.fit(rows.numpy(), labels.numpy())
        return torch.from_numpy(fitted.predict(_averaged(queries).numpy()).astype(np.int64))

    return classify


def opponents() -> dict[str, Classifier]:
    """Every opponent by name."""
    found: dict[str, Classifier] = {"nearest centroid": nearest_centroid}
    for strength in STRENGTHS:
        for as_rows in (False, True):
            name = f"probe C={strength:g}" + (" views as rows" if as_rows else "")
            found[name] = probe(strength, views_as_rows=as_rows)
    return found
