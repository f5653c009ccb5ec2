"""What jobs work on, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ..images.prepared import Prepared
from ..meta.params import Params

Images = Sequence[bytes | torch.Tensor] | Prepared
"""Small images, which their job decodes where they are not `(height, width, 4)` pixels yet; or
images that are prepared."""


@dataclass(frozen=True)
class Timing:
    """Where the time of a call went, in seconds."""

    decode: float = 0.0
    queue: float = 0.0
    compute: float = 0.0
    store: float = 0.0

    def plus(self, later: Timing) -> Timing:
        """The time of two parts of a call, one after the other."""
        return Timing(
            self.decode + later.decode,
            self.queue + later.queue,
            self.compute + later.compute,
            self.store + later.store,
        )


@dataclass(frozen=True)
class SupportSet:
    """Images to adapt to. ``labels`` `(support,)` in 0..n_way-1 number the classes of all.

    ``kept`` `(kept, ...)` is what was kept, see `Handle`, of images that come before ``images``.
    ``n_views`` counts an image and its views; None takes the initialization's own.
    """

    images: Images
    labels: torch.Tensor
    n_way: int
    kept: torch.Tensor | None = None
    n_views: int | None = None


@dataclass(frozen=True)
class Queries:
    """Images to classify by a session's ``adapted`` tensors and its classes' ``image_counts``.

    ``n_views`` are those that it adapted to.
    """

    images: Images
    adapted: Params
    image_counts: Sequence[int]
    n_views: int | None = None


@dataclass(frozen=True)
class Adaptation:
    """What an inner loop came to.

    ``adapted`` holds the tensors that differ from the initialization's, the head among them;
    ``losses`` the support loss before each step and after the last, in nats;
    ``support_predictions`` the class that each support image is taken for. Of the images that were
    not kept from before, ``blank`` tells which show nothing, ``kept`` is what is to be kept, and
    ``unlikeness`` is theirs, see `Handle`, and ``fingerprints`` `(image, ...)` int8 tell which
    pictures they are, by zeros where they were not taken.
    """

    adapted: Params
    losses: tuple[float, ...]
    support_predictions: tuple[int, ...]
    support_accuracy: float
    blank: tuple[bool, ...]
    kept: torch.Tensor
    fingerprints: torch.Tensor
    unlikeness: float | None = None
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True)
class Classification:
    """Of each query its probabilities and its `meta.scores.distance` in units of the limit.

    The latter is None where there is no limit. ``blank`` tells which queries show nothing,
    ``unlikeness`` how unlike the training images each is, see `Handle`.
    """

    scores: Sequence[tuple[list[float], float | None]]
    blank: Sequence[bool]
    unlikeness: Sequence[float] | None
    timing: Timing


@dataclass(frozen=True)
class Fold:
    """Images of a support set to be classified by what the others make of their classes.

    ``frozen`` `(support, 1 + view, ...)` are the frozen features of all its images,
    ``held_out`` the positions of those to classify.
    """

    frozen: torch.Tensor
    labels: torch.Tensor
    n_way: int
    held_out: Sequence[int]


@dataclass(frozen=True)
class Layout:
    """Images of a session to be laid out in a plane by the features that it makes of them.

    ``kept`` `(support, ...)` is what was kept of them, ``adapted`` are the session's tensors.
    """

    kept: torch.Tensor
    adapted: Params
