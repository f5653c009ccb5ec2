"""The any-way head: a linear classifier over unit-length features for any number of classes.

Its rows start from values that no order of the classes can touch: at zero, from the support
set's class means, or from these scaled to unit length ("cosine", Chen et al., ICLR 2019,
"Baseline++"). Class means make the logits before the first step those of a nearest-centroid
classifier, s (f.m - |m|^2 / 2) = -s/2 |f - m|^2 + const (Prototypical Networks, Snell et al.,
NeurIPS 2017, eq. 8), from where the inner loop goes on (Proto-MAML, Triantafillou et al.,
ICLR 2020, sec. 3).

Close means are the class means drawn towards their own mean: the head still says what is nearest,
and hardly prefers it, so that the first steps have all to say. What rows have in common tells no
class from another; it keeps its length, and with it a logit tells how near a class is.
"""

from __future__ import annotations

from typing import Literal

import torch

from .episode import Support
from .params import Params, mapped

HeadStart = Literal["class_means", "close_means", "cosine", "zero"]

WEIGHT, BIAS, SCALE = "head.weight", "head.bias", "head.scale"
"""`(n_way, feature)`, `(n_way,)` and `()`: the last is meta-learned and shared by all classes."""


CLOSE = 1 / 8
"""How far close means are apart, of what class means are."""


def unit(features: torch.Tensor) -> torch.Tensor:
    """Scale `(batch, feature)` rows to length 1."""
    return torch.nn.functional.normalize(features, dim=1)


def class_means(features: torch.Tensor, support: Support) -> torch.Tensor:
    """`(n_way, feature)` means of the unit features of each class."""
    membership = support.membership()
    return (membership / membership.sum(0)).T @ unit(features)


def start(kind: HeadStart, features: torch.Tensor, support: Support) -> Params:
    """The head before the first step, from the support set's `(support, feature)` features."""
    if kind == "zero":
        shape = (support.n_way, features.shape[1])
        return {WEIGHT: features.new_zeros(shape), BIAS: features.new_zeros(support.n_way)}
    means = class_means(features, support)
    if kind == "cosine":
        return {WEIGHT: unit(means), BIAS: means.new_zeros(support.n_way)}
    rows = {WEIGHT: means, BIAS: -means.square().sum(1) / 2}
    return mapped(_drawn_together, rows) if kind == "close_means" else rows


def logits(params: Params, features: torch.Tensor) -> torch.Tensor:
    """`(batch, feature)` features to `(batch, n_way)` logits."""
    return params[SCALE] * (unit(features) @ params[WEIGHT].T + params[BIAS])


def _drawn_together(rows: torch.Tensor) -> torch.Tensor:
    common = rows.mean(0)
    return common + CLOSE * (rows - common)
