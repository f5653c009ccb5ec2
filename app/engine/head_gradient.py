"""The head's loss and its gradients in closed form; `meta.head` is the definition."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..meta import head
from ..meta.episode import Support

EPSILON = 1e-12
"""Shortest length that a vector is divided by, as `torch.nn.functional.normalize` has it."""


@dataclass(frozen=True)
class HeadGradients:
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


class Head:
    """The head of one support set, whose offset and features change with the steps."""

    def __init__(self, start: head.HeadStart, scale: torch.Tensor, support: Support) -> None:
        self._start, self._scale = start, scale
        self._membership = support.membership()
        self._shares = self._membership / self._membership.sum(0)
        self._weights = support.class_weights().unsqueeze(1)

    def gradients(
        self, features: torch.Tensor, offset_weight: torch.Tensor, offset_bias: torch.Tensor
    ) -> HeadGradients:
        """The loss of `(support, feature)` features, and its gradients."""
        lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True).clamp_min_(EPSILON)
        unit = features / lengths
        weight, bias, means = offset_weight, offset_bias, self._shares.T @ unit
        mean_lengths = means.new_empty(0)
        if self._start == "class_means":
            weight, bias = weight + means, bias - means.square().sum(1) / 2
        elif self._start == "cosine":
            mean_lengths = torch.linalg.vector_norm(means, dim=1, keepdim=True).clamp_min_(EPSILON)
            weight = weight + means / mean_lengths
        log_likelihoods = (self._scale * torch.addmm(bias, unit, weight.T)).log_softmax(1)
        loss = -(self._weights * self._membership * log_likelihoods).sum()
        by_scores = (log_likelihoods.exp() - self._membership) * (self._weights * self._scale)
        by_weight, by_bias = by_scores.T @ unit, by_scores.sum(0)
        by_unit = by_scores @ weight
        if self._start == "class_means":
            by_unit += self._shares @ (by_weight - by_bias.unsqueeze(1) * means)
        elif self._start == "cosine":
            by_unit += self._shares @ _by_vectors(by_weight, means / mean_lengths, mean_lengths)
        by_features = _by_vectors(by_unit, unit, lengths)
        return HeadGradients(loss, weight, bias, by_weight, by_bias, by_features)


def _by_vectors(by_unit: torch.Tensor, unit: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The gradient by vectors from that by them at unit length."""
    return (by_unit - unit * (unit * by_unit).sum(1, keepdim=True)) / lengths
