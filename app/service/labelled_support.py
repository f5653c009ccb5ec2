"""A support set with the labels that its images were sent under."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from .values import SentImage


@dataclass(frozen=True)
class LabelledSupport:
    """All images of a support set by their labels; the last ones were just ``sent``.

    ``kept`` is what was kept of the images of earlier calls, which come first, and
    ``fingerprints`` are theirs.
    """

    labels: Sequence[str]
    sent: Sequence[SentImage]
    kept: torch.Tensor | None = None
    fingerprints: torch.Tensor | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The labels by the positions of their classes.

        Their order decides nothing but ties, and is the same for any sending order.
        """
        return tuple(sorted(set(self.labels)))

    @cached_property
    def positions(self) -> torch.Tensor:
        """`(support,)` positions of the images' classes."""
        by_name = {name: position for position, name in enumerate(self.names)}
        return torch.tensor([by_name[label] for label in self.labels])

    def image_counts(self) -> tuple[int, ...]:
        """The images of each class."""
        counts = Counter(self.labels)
        return tuple(counts[name] for name in self.names)

    def kept_with(self, just_sent: torch.Tensor) -> torch.Tensor:
        """What is to be kept of all images, from that of those that were just sent."""
        return just_sent if self.kept is None else torch.cat([self.kept, just_sent])

    def fingerprints_with(self, just_sent: torch.Tensor) -> torch.Tensor:
        """The fingerprints of all images, from those of the ones that were just sent."""
        return just_sent if self.fingerprints is None else torch.cat([self.fingerprints, just_sent])

    def sent_at(self, position: int) -> SentImage | None:
        """The image of this call at a position of the support set, if it is one."""
        place = position - (len(self.labels) - len(self.sent))
        return self.sent[place] if place >= 0 else None
