"""Accuracy on episodes of classes never seen, with its interval, beside nearest centroid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from ..data.episodes import ClassImages, EpisodePlan, EpisodeShape, plan_episode, realize, seeded
from ..meta.episode import Episode
from ..meta.head import class_means
from ..meta.params import Params
from .candidate import Candidate

NORMAL_QUANTILE = 1.96


@dataclass(frozen=True)
class Setting:
    """Which episodes an evaluation runs on."""

    shape: EpisodeShape
    episodes: int
    seed: int

    def plans(self, classes: ClassImages) -> Iterator[EpisodePlan]:
        """Plan the episodes; each depends on the seed and its number alone."""
        counts = [len(images) for images in classes.images]
        for number in range(self.episodes):
            yield plan_episode(counts, self.shape, seeded(self.seed, number))


@dataclass(frozen=True)
class Interval:
    """A mean with the half-width of its 95 % interval."""

    mean: float
    half_width: float

    @staticmethod
    def of(values: Sequence[float]) -> Interval:
        """The normal interval of a mean of independent values, one an episode."""
        mean = sum(values) / len(values)
        if len(values) < 2:
            return Interval(mean, math.nan)
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        return Interval(mean, NORMAL_QUANTILE * math.sqrt(variance / len(values)))


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found; accuracies are shares in 0..1.

    ``zero_steps`` is the accuracy of the head's start, before any inner step, ``head_alone`` that
    after steps of the head without the network, where the network adapts too,
    ``pretrained_centroid`` that of nearest centroid in other features, where there are such. The
    differences are those of the adapted accuracy to the others, paired by episode.
    """

    episodes: int
    accuracy: Interval
    zero_steps: Interval
    nearest_centroid: Interval
    difference_to_zero_steps: Interval
    difference: Interval
    head_alone: Interval | None = None
    difference_to_head_alone: Interval | None = None
    pretrained_centroid: Interval | None = None
    difference_to_pretrained: Interval | None = None


@torch.no_grad()
def evaluate(
    candidate: Candidate,
    setting: Setting,
    *,
    steps: int | None = None,
    pretrained: ClassImages | None = None,
    on_episode: Callable[[float], None] = lambda _: None,
    on_scores: Callable[[EpisodePlan, Params, torch.Tensor], None] = lambda *_: None,
) -> Evaluation:
    """Adapt to the support set of each episode and classify its queries.

    ``pretrained`` are the classes as another initialization embeds them, see `embed`.
    ``on_episode`` is told each episode's accuracy, ``on_scores`` its plan, its
    fast weights and the `(query, n_way)` logits of its queries.
    """
    adapted_shares, start_shares, centroid_shares = [], [], []
    head_shares, pretrained_shares = [], []
    head_alone = candidate.head_alone
    for plan in setting.plans(candidate.classes):
        states = list(candidate.trajectory(plan, steps))
        labels = plan.query_labels()
        scores = candidate.scores(plan, states[-1].fast_weights)
        adapted_shares.append(_accuracy(scores, labels))
        start_shares.append(_accuracy(candidate.scores(plan, states[0].fast_weights), labels))
        centroid_shares.append(_nearest_centroid_accuracy(candidate.embedded(plan)))
        if head_alone is not None:
            *_, last = head_alone.trajectory(plan, steps)
            head_shares.append(_accuracy(head_alone.scores(plan, last.fast_weights), labels))
        if pretrained is not None:
            pretrained_shares.append(_nearest_centroid_accuracy(realize(pretrained, plan)))
        on_episode(adapted_shares[-1])
        on_scores(plan, states[-1].fast_weights, scores)
    return Evaluation(
        setting.episodes,
        Interval.of(adapted_shares),
        Interval.of(start_shares),
        Interval.of(centroid_shares),
        _paired(adapted_shares, start_shares),
        _paired(adapted_shares, centroid_shares),
        Interval.of(head_shares) if head_shares else None,
        _paired(adapted_shares, head_shares) if head_shares else None,
        Interval.of(pretrained_shares) if pretrained_shares else None,
        _paired(adapted_shares, pretrained_shares) if pretrained_shares else None,
    )


@torch.no_grad()
def adapted_accuracy(candidate: Candidate, setting: Setting) -> Interval:
    """The accuracy of `evaluate` alone, without what it is compared with."""
    shares = []
    for plan in setting.plans(candidate.classes):
        *_, last = candidate.trajectory(plan, None)
        shares.append(_accuracy(candidate.scores(plan, last.fast_weights), plan.query_labels()))
    return Interval.of(shares)


@torch.no_grad()
def evaluate_by_step(candidate: Candidate, setting: Setting, *, steps: int) -> list[Interval]:
    """The accuracy after 0, 1, ..., ``steps`` inner steps: the adaptation curve."""
    shares: list[list[float]] = [[] for _ in range(steps + 1)]
    for plan in setting.plans(candidate.classes):
        for state in candidate.trajectory(plan, steps):
            scores = candidate.scores(plan, state.fast_weights)
            shares[state.number].append(_accuracy(scores, plan.query_labels()))
    return [Interval.of(found) for found in shares]


@torch.no_grad()
def evaluate_nearest_centroid(candidate: Candidate, setting: Setting) -> Interval:
    """The accuracy of class means of unadapted unit features, on the episodes of `evaluate`."""
    return Interval.of(
        [
            _nearest_centroid_accuracy(candidate.embedded(plan))
            for plan in setting.plans(candidate.classes)
        ]
    )


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    return Interval.of([a - b for a, b in zip(ours, theirs, strict=True)])


def _nearest_centroid_accuracy(embedded: Episode) -> float:
    means = class_means(embedded.support.images, embedded.support)
    return _accuracy(-torch.cdist(embedded.query_images, means), embedded.query_labels)


def _accuracy(scores: torch.Tensor, labels: torch.Tensor) -> float:
    return float((scores.argmax(1) == labels.to(scores.device)).to(torch.float32).mean())
