"""An initialization that is served: the one value by which calls, queue and engine know it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..images.prepared import Prepared, no_images
from ..images.preprocessing import Preprocessing
from ..meta.scores import Scoring
from .executor import Executor


@dataclass(frozen=True, eq=False)
class Handle:
    """A loaded checkpoint and what computes with it; ``views`` lie on the executor's device.

    Of a support image a session keeps the `(1 + view, ...)` frozen features in half precision,
    where the initialization rounds them so, else the `(channel, height, width)` prepared image.
    """

    checkpoint: Checkpoint
    executor: Executor
    scoring: Scoring
    views: torch.Tensor

    @property
    def name(self) -> str:
        """The name that calls choose it by."""
        return self.checkpoint.name

    @property
    def identity(self) -> str:
        """The identity that its sessions remember."""
        return self.checkpoint.identity

    @property
    def preprocessing(self) -> Preprocessing:
        """How decoded images become its network's input."""
        return self.checkpoint.preprocessing

    @property
    def preprocessing_name(self) -> str:
        """The name of its preprocessing, which tells the kind of picture that it is for."""
        return self.checkpoint.config.preprocessing.name

    @property
    def keeps_features(self) -> bool:
        """Whether sessions keep frozen features in place of images."""
        return self.checkpoint.initialization.inner_loop.half_features

    @property
    def no_images(self) -> Prepared:
        """None at all, for an adaptation to what was kept alone."""
        shape = self.checkpoint.network.input_shape
        return no_images(shape, len(self.preprocessing.statistic_names))

    def views_of(self, n_views: int | None) -> torch.Tensor:
        """`(n_views - 1, 2, 3)` views of support images; None takes the initialization's own."""
        return self.views[: self.n_views - 1 if n_views is None else n_views - 1]

    def query_views_of(self, n_views: int | None) -> torch.Tensor:
        """Those of the same views that queries are classified over."""
        views = self.views_of(n_views)
        return views if self.checkpoint.initialization.inner_loop.query_views else views[:0]

    @property
    def n_views(self) -> int:
        """How many an adaptation looks at, the image among them, unless a call says otherwise."""
        return 1 + len(self.checkpoint.initialization.views)

    @property
    def allowed_views(self) -> range:
        """The numbers that a call may ask for: `n_views` alone where sessions keep images."""
        if self.keeps_features:
            return range(1, 2 + len(self.views))
        return range(self.n_views, self.n_views + 1)

    def unlikeness(self, statistics: torch.Tensor) -> float | None:
        """How unlike its training images others are, above 1 beyond its limit; None if unknown.

        ``statistics`` are `(image, statistic)`, those of `Prepared`.
        """
        calibration = self.checkpoint.config.calibration
        if calibration is None:
            return None
        return calibration.likeness.unlikeness(statistics) / calibration.likeness.threshold

    def unlikeness_of_each(self, statistics: torch.Tensor) -> list[float] | None:
        """The `unlikeness` of each image by itself, whatever the others are."""
        calibration = self.checkpoint.config.calibration
        if calibration is None:
            return None
        likeness = calibration.likeness
        return (likeness.unlikeness_of_each(statistics) / likeness.threshold).tolist()

    @property
    def steps(self) -> int:
        """The steps of its inner loop, unless a call asks for another number."""
        return self.checkpoint.initialization.inner_loop.steps
