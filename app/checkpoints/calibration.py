"""What an initialization knows of its own limits, fitted on classes it has not learned from."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, model_validator

from ..meta.scores import unlikeness, unlikeness_of_each
from .strict import Strict

Row = Annotated[list[float], Field(min_length=1)]


class Likeness(Strict, allow_inf_nan=False):
    """What images of the training data are like, by their preprocessing's statistics.

    ``means`` `(statistic,)` and ``whitening`` `(statistic, statistic)` are those of the training
    images. A support set, or a query by itself, is unlike them when its `unlikeness` is above
    ``threshold``.
    """

    means: Row
    whitening: list[Row]
    threshold: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _square(self) -> Likeness:
        size = len(self.means)
        if [len(row) for row in self.whitening] != size * [size]:
            raise ValueError(f"whitening: expected {size} rows of {size} numbers")
        return self

    def unlikeness(self, statistics: torch.Tensor) -> float:
        """The `unlikeness` of images whose `(image, statistic)` ``statistics`` are given."""
        return unlikeness(statistics, torch.tensor(self.means), torch.tensor(self.whitening))

    def unlikeness_of_each(self, statistics: torch.Tensor) -> torch.Tensor:
        """`(image,)`: the `unlikeness` of each of them by itself."""
        means, whitening = torch.tensor(self.means), torch.tensor(self.whitening)
        return unlikeness_of_each(statistics, means, whitening)


class Calibration(Strict, allow_inf_nan=False):
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
