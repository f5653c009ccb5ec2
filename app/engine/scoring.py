"""`meta.scores` of many queries at once, by a kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..kernels.scores import score
from ..meta.params import array_of
from ..meta.scores import Scoring


def scored(
    scoring: Scoring, logits: torch.Tensor, counts: Sequence[Sequence[int]]
) -> list[tuple[list[float], float | None]]:
    """The probabilities of each query, and its distance in units of the limit, if there is one.

    From `(query, way)` logits, and the images of each class that each query is compared with.
    """
    probabilities = np.empty(tuple(logits.shape), np.float32)
    distances = np.empty(len(logits), np.float32)
    score(
        array_of(logits),
        np.array(counts, np.int64),
        scoring.temperature,
        scoring.scale,
        probabilities,
        distances,
    )
    limit = scoring.limit
    apart = [None] * len(logits) if limit is None else (distances / limit).tolist()
    return list(zip(probabilities.tolist(), apart, strict=True))
