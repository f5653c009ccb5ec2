"""Features laid out in a plane, for people to look at."""

from __future__ import annotations

import torch


def plane(features: torch.Tensor) -> torch.Tensor:
    """`(image, feature)` to `(image, 2)`: the two principal components, in -1..1.

    Features that are alike lie together; labels have no say. The farthest image lies on the edge,
    and where all are alike they lie in the middle. The same features give the same plane.
    """
    centred = (features - features.mean(0)).double()
    # Of few images with long features the products of images are the smaller matrix.
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    found = torch.zeros(len(centred), 2, dtype=torch.float64)
    for axis, component in enumerate(reversed(range(max(0, len(values) - 2), len(values)))):
        along = vectors[:, component] * values[component].clamp(min=0).sqrt()
        farthest = along[along.abs().argmax()]
        found[:, axis] = along * (1 if farthest >= 0 else -1)
    widest = found.abs().max()
    return (found / widest if widest > 1e-6 else torch.zeros_like(found)).to(torch.float32)
