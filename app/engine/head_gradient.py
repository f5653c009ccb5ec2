"""The head's loss and its gradients in closed form; `meta.head` is the definition."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..meta import head
from ..meta.episode import Support
from ..meta.traced import traced

EPSILON = 1e-12
"""Shortest length that a vector is divided by, as `torch.nn.functional.normalize` has it."""


class HeadGradients(NamedTuple):
    """A loss in nats, the head's rows it was taken at, and the gradients of that loss.

    ``by_weight`` and ``by_bias`` are those by the head's offset, ``by_features`` is
    `(support, feature)`.
    """

    loss: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    by_weight: torch.Tensor
    by_bias: torch.Tensor
    by_features: torch.Tensor


class HeadLoss:
    """The head of an initialization, for any support set."""

    def __init__(self, start: head.HeadStart, scale: torch.Tensor, feature_size: int) -> None:
        self._start, self._scale, self.feature_size = start, scale, feature_size
        membership = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
        rows = (torch.ones(4, feature_size), torch.zeros(3, feature_size), torch.zeros(3))
        self._gradients = traced(
            self.computed, *rows, membership, membership, torch.full((4, 1), 0.25)
        )

    def of(self, support: Support) -> BoundHead:
        """The head of a support set, whose images are of no concern."""
        membership = support.membership()
        shares = membership / membership.sum(0)
        return BoundHead(self, membership, shares, support.class_weights().unsqueeze(1))

    def gradients(self, *inputs: torch.Tensor) -> HeadGradients:
        """See `BoundHead`."""
        return HeadGradients(*self._gradients(*inputs))

    def computed(
        self,
        features: torch.Tensor,
        offset_weight: torch.Tensor,
        offset_bias: torch.Tensor,
        membership: torch.Tensor,
        shares: torch.Tensor,
        weights: torch.Tensor,
    ) -> HeadGradients:
        """`gradients` operation by operation."""
        lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True).clamp_min(EPSILON)
        unit = features / lengths
        weight, bias, means = offset_weight, offset_bias, shares.T @ unit
        mean_lengths = torch.linalg.vector_norm(means, dim=1, keepdim=True).clamp_min(EPSILON)
        if self._start == "class_means":
            weight, bias = weight + means, bias - means.square().sum(1) / 2
        elif self._start == "cosine":
            weight = weight + means / mean_lengths
        log_likelihoods = (self._scale * torch.addmm(bias, unit, weight.T)).log_softmax(1)
        loss = -(weights * membership * log_likelihoods).sum()
        by_scores = (log_likelihoods.exp() - membership) * (weights * self._scale)
        by_weight, by_bias = by_scores.T @ unit, by_scores.sum(0)
        by_unit = by_scores @ weight
        if self._start == "class_means":
            by_unit = by_unit + shares @ (by_weight - by_bias.unsqueeze(1) * means)
        elif self._start == "cosine":
            by_means = _by_vectors(by_weight, means / mean_lengths, mean_lengths)
            by_unit = by_unit + shares @ by_means
        by_features = _by_vectors(by_unit, unit, lengths)
        return HeadGradients(loss, weight, bias, by_weight, by_bias, by_features)


class BoundHead(NamedTuple):
    """The head of one support set, whose offset and features change with the steps."""

    head: HeadLoss
    membership: torch.Tensor
    shares: torch.Tensor
    weights: torch.Tensor

    def gradients(
        self, features: torch.Tensor, offset_weight: torch.Tensor, offset_bias: torch.Tensor
    ) -> HeadGradients:
        """The loss of `(support, feature)` features, and its gradients."""
        return self.head.gradients(
            features, offset_weight, offset_bias, self.membership, self.shares, self.weights
        )


def _by_vectors(by_unit: torch.Tensor, unit: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The gradient by vectors from that by them at unit length."""
    return (by_unit - unit * (unit * by_unit).sum(1, keepdim=True)) / lengths
