"""What an initialization knows of its own limits, fitted on classes it has not learned from."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

Row = Annotated[list[float], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Likeness(_Strict):
    """How images of the training data look: mean and whitening of their preprocessing's statistics.

    A support set is unlike it when its `unlikeness` is above ``threshold``.
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
        """The mean squared Mahalanobis distance of images, over its expectation.

        About 1 for training images, more for others; ``statistics`` are `(image, statistic)`, and
        their order and number do not matter.
        """
        deviations = statistics - torch.tensor(self.means)
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
