"""What a preprocessing makes of decoded images."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Prepared:
    """Images as a network takes them, and what their preprocessing tells of each.

    ``images`` are `(image, channel, height, width)` float32, or uint8 of which
    `preprocessing.unpacked` makes the same; ``blank`` tells which of them show
    nothing; ``statistics`` `(image, statistic)` tell what kind of pictures they are;
    ``fingerprints`` are those of `fingerprints`, where they were taken.
    """

    images: torch.Tensor
    blank: tuple[bool, ...]
    statistics: torch.Tensor
    fingerprints: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.blank)


def no_images(shape: Sequence[int], n_statistics: int) -> Prepared:
    """None at all, of images of a shape."""
    return Prepared(torch.empty(0, *shape), (), torch.empty(0, n_statistics))


class Gathered:
    """Images of several parts, one behind another in memory that is taken once."""

    def __init__(
        self, count: int, like: Prepared, freed: Callable[[], object] | None = None
    ) -> None:
        """A place for ``count`` images like some; ``freed`` is called when nobody has it."""
        first = like.images.numpy()
        self._images = np.empty((count, *first.shape[1:]), first.dtype)
        self._blank = list[bool]()
        self._statistics = list[torch.Tensor]()
        self._fingerprints = list[torch.Tensor]()
        if freed is not None:
            weakref.finalize(self._images, freed).atexit = False

    def add(self, part: Prepared) -> None:
        """Put the images of a part behind those that are there."""
        begin = len(self._blank)
        self._images[begin : begin + len(part)] = part.images.numpy()
        self._blank += part.blank
        self._statistics.append(part.statistics)
        if part.fingerprints is not None:
            self._fingerprints.append(part.fingerprints)

    def whole(self) -> Prepared:
        """All images, once they are there."""
        images = torch.from_numpy(self._images)
        fingerprints = torch.cat(self._fingerprints) if self._fingerprints else None
        return Prepared(images, tuple(self._blank), torch.cat(self._statistics), fingerprints)


def split(prepared: Prepared, counts: Sequence[int]) -> list[Prepared]:
    """Parts of ``counts`` images, one after another."""
    blank = iter(prepared.blank)
    sizes, taken = list(counts), prepared.fingerprints
    return [
        Prepared(images, tuple(next(blank) for _ in images), statistics, fingerprints)
        for images, statistics, fingerprints in zip(
            torch.split(prepared.images, sizes),
            torch.split(prepared.statistics, sizes),
            [None] * len(sizes) if taken is None else torch.split(taken, sizes),
            strict=True,
        )
    ]
