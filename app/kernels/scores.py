"""Probabilities and distances to the nearest class, of many queries at once.

`meta.scores` defines them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .jit import Floats, compiled


@compiled
def score(
    logits: Floats,
    counts: NDArray[np.int64],
    temperature: float,
    scale: float,
    probabilities: Floats,
    distances: Floats,
) -> None:
    """Fill in ``probabilities`` `(query, way)` and ``distances`` `(query,)`.

    From ``logits`` `(query, way)` and ``counts`` `(query, way)`, the images of each class.
    """
    n_queries, n_way = logits.shape
    for query in range(n_queries):
        # A loop in place of `argmax`, so that a whole query stays in registers.
        row, nearest = logits[query], 0
        for label in range(n_way):
            if row[label] > row[nearest]:
                nearest = label
        # The highest is subtracted first, so that no exponential overflows.
        total = 0.0
        for label in range(n_way):
            share = math.exp((row[label] - row[nearest]) / temperature)
            probabilities[query, label] = share
            total += share
        for label in range(n_way):
            probabilities[query, label] /= total
        # A logit is s (1 - |u - m|^2) / 2, so that it tells the distance; the mean of n images is
        # farther off by 1 / n of a class's spread, which the divisor takes out.
        found = (1 - 2 * row[nearest] / scale) / (1 + 1 / counts[query, nearest])
        # Rounding may take a distance of zero below it.
        distances[query] = max(found, 0.0)
