"""What answers say beside a label: probabilities, distances to the nearest class, unlikeness."""

from __future__ import annotations

from dataclasses import dataclass

import torch

BINS = 15


@dataclass(frozen=True)
class Scoring:
    """How an initialization's logits become answers, calibrated or not.

    ``scale`` is that of its head; ``limit`` is the `distance` above which an image counts as none
    of a session's classes, None where no such limit is known.
    """

    scale: float
    temperature: float = 1.0
    limit: float | None = None

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """`(query, way)` logits to probabilities."""
        return (logits / self.temperature).softmax(1)

    def none_of_these(self, logits: torch.Tensor, counts: torch.Tensor) -> torch.Tensor | None:
        """`(query,)` distances in units of the limit, above 1 for none of the classes.

        ``counts`` are the `(query, way)` or `(way,)` images of each class.
        """
        if self.limit is None:
            return None
        return distance(logits, self.scale, counts).clamp(min=0) / self.limit


def distance(logits: torch.Tensor, scale: float, counts: torch.Tensor) -> torch.Tensor:
    """`(query,)` squared distances of unit features to the nearest class mean, from `(query, way)`.

    A logit is scale * (f.m - |m|^2 / 2), so |f - m|^2 = 1 - 2 logit / scale, before the first step;
    where steps have moved the head or a start at close means has drawn it together, it goes for
    such a distance. A mean of K images
    is itself off by 1/K of a class's variance, so the distance is taken in units of 1 + 1/K:
    that makes it comparable over numbers of shots. ``counts`` has the K of each class, `(way,)`, or
    `(query, way)` where queries are of several support sets.
    """
    nearest, label = logits.max(1)
    images = counts.expand_as(logits).gather(1, label.unsqueeze(1)).squeeze(1)
    return (1 - 2 * nearest / scale) / (1 + 1 / images)


def unlikeness(statistics: torch.Tensor, means: torch.Tensor, whitening: torch.Tensor) -> float:
    """The mean squared Mahalanobis distance of images to training images, over its expectation.

    About 1 for training images, more for others. ``statistics`` are `(image, statistic)`, and
    neither their order nor their number matters; ``means`` `(statistic,)` and ``whitening``
    `(statistic, statistic)` are those of the training images.
    """
    return float(unlikeness_of_each(statistics, means, whitening).mean())


def unlikeness_of_each(
    statistics: torch.Tensor, means: torch.Tensor, whitening: torch.Tensor
) -> torch.Tensor:
    """`(image,)`: the `unlikeness` of each image by itself."""
    return ((statistics - means) @ whitening).square().mean(1)


def expected_calibration_error(confidence: torch.Tensor, right: torch.Tensor) -> float:
    """The gap between `(query,)` top probabilities and being right, over 15 equal bins, in 0..1.

    (Guo et al., ICML 2017, eq. 3.)
    """
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    gaps = torch.zeros(BINS, dtype=torch.float64)
    gaps = gaps.index_add(0, bins, right.double() - confidence.double())
    return float(gaps.abs().sum() / len(right))
