"""What an initialization knows of its own limits, fitted on classes it has not learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..meta.compiled import Floats, array_of, compiled

STATISTICS = ("mean", "deviation", "roughness", "half_tones", "edge")

BINS = 15

Row = Annotated[list[float], Field(min_length=len(STATISTICS), max_length=len(STATISTICS))]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Likeness(_Strict):
    """How images of the training data look: mean and whitening of `image_statistics`.

    A support set is unlike it when its `unlikeness` is above ``threshold``.
    """

    means: Row
    whitening: Annotated[list[Row], Field(min_length=len(STATISTICS), max_length=len(STATISTICS))]
    threshold: Annotated[float, Field(gt=0)]

    def unlikeness(self, images: torch.Tensor) -> float:
        """The mean squared Mahalanobis distance of preprocessed images, over its expectation.

        About 1 for training images, more for others; ``images`` are `(image, channel, height,
        width)`, and their order and number do not matter.
        """
        deviations = image_statistics(images) - torch.tensor(self.means)
        return float((deviations @ torch.tensor(self.whitening)).square().mean())


class Calibration(_Strict):
    """Fitted on held-out training classes; ``settings`` are the ways and shots of its episodes.

    ``none_of_these`` is the `distance` above which an image counts as none of a session's
    classes; ``kept`` is the share of images of the classes that it kept. None where the head
    does not start at class means, whose distance it is.
    """

    temperature: Annotated[float, Field(gt=0)]
    none_of_these: Annotated[float, Field(gt=0)] | None
    kept: Annotated[float, Field(gt=0, le=1)]
    settings: list[tuple[int, int]]
    likeness: Likeness


def distance(logits: torch.Tensor, scale: float, counts: torch.Tensor) -> torch.Tensor:
    """`(query,)` squared distances of unit features to the nearest class mean, from `(query, way)`.

    A logit is scale * (f.m - |m|^2 / 2), so |f - m|^2 = 1 - 2 logit / scale. A mean of K images
    is itself off by 1/K of a class's variance, so the distance is taken in units of 1 + 1/K:
    that makes it comparable over numbers of shots. ``counts`` has the K of each class, `(way,)`, or
    `(query, way)` where queries are of several support sets.
    """
    nearest, label = logits.max(1)
    images = counts.expand_as(logits).gather(1, label.unsqueeze(1)).squeeze(1)
    return (1 - 2 * nearest / scale) / (1 + 1 / images)


def scored(
    calibration: Calibration | None,
    scale: float,
    logits: torch.Tensor,
    counts: Sequence[Sequence[int]],
) -> list[tuple[list[float], float | None]]:
    """The probabilities of each query and its `distance` in units of the limit, if there is one.

    From `(query, way)` logits, and the images of each class that each query is compared with.
    """
    temperature = calibration.temperature if calibration else 1.0
    limit = calibration.none_of_these if calibration else None
    probabilities = np.empty(tuple(logits.shape), np.float32)
    distances = np.empty(len(logits), np.float32)
    _score(
        array_of(logits),
        np.array(counts, np.int64),
        temperature,
        scale,
        probabilities,
        distances,
    )
    apart = [None] * len(logits) if limit is None else (distances / limit).tolist()
    return list(zip(probabilities.tolist(), apart, strict=True))


@compiled
def _score(
    logits: Floats,
    counts: NDArray[np.int64],
    temperature: float,
    scale: float,
    probabilities: Floats,
    distances: Floats,
) -> None:
    n_queries, n_way = logits.shape
    for query in range(n_queries):
        row, nearest = logits[query], 0
        for label in range(n_way):
            if row[label] > row[nearest]:
                nearest = label
        total = 0.0
        for label in range(n_way):
            share = math.exp((row[label] - row[nearest]) / temperature)
            probabilities[query, label] = share
            total += share
        for label in range(n_way):
            probabilities[query, label] /= total
        found = (1 - 2 * row[nearest] / scale) / (1 + 1 / counts[query, nearest])
        distances[query] = max(found, 0.0)


def expected_calibration_error(confidence: torch.Tensor, right: torch.Tensor) -> float:
    """The gap between `(query,)` top probabilities and being right, over 15 equal bins, in 0..1.

    (Guo et al., ICML 2017, eq. 3.)
    """
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    gaps = torch.zeros(BINS, dtype=torch.float64)
    gaps = gaps.index_add(0, bins, right.double() - confidence.double())
    return float(gaps.abs().sum() / len(right))


def image_statistics(images: torch.Tensor) -> torch.Tensor:
    """`(image, channel, height, width)` to `(image, 5)`: what kind of picture it is.

    In the order of `STATISTICS`: mean, deviation, mean step between neighbours, share of values
    between the outer sixths of an image's range, mean along the four edges.
    """
    found = np.empty((len(images), len(STATISTICS)), np.float32)
    _describe(array_of(images.cpu()), found)
    return torch.from_numpy(found)


@compiled
def _describe(images: Floats, found: Floats) -> None:
    n_images, channels, height, width = images.shape
    n_values = channels * height * width
    for number in range(n_images):
        image = images[number]
        mean, low, high = 0.0, image[0, 0, 0], image[0, 0, 0]
        for value in image.ravel():
            mean += value / n_values
            low, high = min(low, value), max(high, value)
        spread, half_tones, span = 0.0, 0, max(high - low, np.float32(1e-6))
        for value in image.ravel():
            spread += (value - mean) ** 2
            relative = (value - low) / span
            half_tones += 1 / 6 < relative < 5 / 6
        down, across, edges = 0.0, 0.0, 0.0
        for channel in range(channels):
            for y in range(height):
                for x in range(width):
                    value = image[channel, y, x]
                    down += abs(value - image[channel, y - 1, x]) if y > 0 else 0.0
                    across += abs(value - image[channel, y, x - 1]) if x > 0 else 0.0
                    # Corners lie on two edges.
                    edges += value * ((y == 0) + (y == height - 1) + (x == 0) + (x == width - 1))
        found[number, 0] = mean
        found[number, 1] = math.sqrt(spread / (n_values - 1))
        found[number, 2] = (
            down / (channels * (height - 1) * width) + across / (channels * height * (width - 1))
        ) / 2
        found[number, 3] = half_tones / n_values
        found[number, 4] = edges / (2 * channels * (height + width))
