"""The values that meta-learning works on: support sets and episodes."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Support:
    """Labelled images to adapt to; classes may have different numbers of them.

    ``images`` are `(support, channel, height, width)`, ``labels`` `(support,)` int64 in
    0..n_way-1, each class at least once.
    """

    images: torch.Tensor
    labels: torch.Tensor
    n_way: int

    def class_weights(self) -> torch.Tensor:
        """`(support,)` weights that sum to 1 and give every class the same total."""
        membership = self.membership()
        return membership @ (1 / (membership.sum(0) * self.n_way))

    def membership(self) -> torch.Tensor:
        """`(support, n_way)`: 1 where an image belongs to a class, else 0."""
        classes = torch.arange(self.n_way, device=self.labels.device)
        return (self.labels.unsqueeze(1) == classes).to(self.images.dtype)


@dataclass(frozen=True)
class Episode:
    """A support set and a query set of the same classes.

    ``query_images`` are `(query, channel, height, width)`, ``query_labels`` `(query,)` int64.
    """

    support: Support
    query_images: torch.Tensor
    query_labels: torch.Tensor
