"""What a preprocessing makes of decoded images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Prepared:
    """Images as a network takes them, and what their preprocessing tells of each.

    ``images`` are `(image, channel, height, width)` float32; ``blank`` tells which of them show
    nothing; ``statistics`` `(image, statistic)` tell what kind of pictures they are.
    """

    images: torch.Tensor
    blank: tuple[bool, ...]
    statistics: torch.Tensor

    def __len__(self) -> int:
        return len(self.blank)


def joined(parts: Sequence[Prepared]) -> Prepared:
    """The images of several parts, one after another."""
    if len(parts) == 1:
        return parts[0]
    return Prepared(
        torch.cat([part.images for part in parts]),
        tuple(blank for part in parts for blank in part.blank),
        torch.cat([part.statistics for part in parts]),
    )


def split(prepared: Prepared, counts: Sequence[int]) -> list[Prepared]:
    """The inverse of `joined`, for parts of ``counts`` images."""
    blank = iter(prepared.blank)
    return [
        Prepared(images, tuple(next(blank) for _ in range(count)), statistics)
        for count, images, statistics in zip(
            counts,
            torch.split(prepared.images, list(counts)),
            torch.split(prepared.statistics, list(counts)),
            strict=True,
        )
    ]
