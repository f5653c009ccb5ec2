"""Accuracy on episodes of classes never seen, with its interval, beside nearest centroid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

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
    on_logits: Callable[[EpisodePlan, Params, torch.Tensor], None] = lambda *_: None,
) -> Evaluation:
    """Adapt to the support set of each episode and classify its queries.

    ``pretrained`` are the classes as another initialization embeds them, see `embed`.
    ``on_episode`` is told each episode's accuracy, ``on_logits`` its plan, its
    fast weights and the `(query, n_way)` logits of its queries.
    """
    shares = _EpisodeShares()
    for plan in setting.plans(candidate.classes):
        states = list(candidate.trajectory(plan, steps))
        labels = plan.query_labels()
        logits = candidate.logits(plan, states[-1].fast_weights)
        shares.adapted.append(_accuracy(logits, labels))
        shares.start.append(_accuracy(candidate.logits(plan, states[0].fast_weights), labels))
        shares.centroid.append(_nearest_centroid_accuracy(candidate.embedded(plan)))
        if candidate.head_alone is not None:
            shares.head_alone.append(_adapted_accuracy(candidate.head_alone, plan, steps))
        if pretrained is not None:
            shares.pretrained.append(_nearest_centroid_accuracy(realize(pretrained, plan)))
        on_episode(shares.adapted[-1])
        on_logits(plan, states[-1].fast_weights, logits)
    return shares.evaluation()


@dataclass(frozen=True)
class _EpisodeShares:
    """The shares of queries that each classifier has right, one an episode; see `Evaluation`."""

    adapted: list[float] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    centroid: list[float] = field(default_factory=list)
    head_alone: list[float] = field(default_factory=list)
    pretrained: list[float] = field(default_factory=list)

    def evaluation(self) -> Evaluation:
        head_alone, difference_to_head_alone = self._where_measured(self.head_alone)
        pretrained, difference_to_pretrained = self._where_measured(self.pretrained)
        return Evaluation(
            episodes=len(self.adapted),
            accuracy=Interval.of(self.adapted),
            zero_steps=Interval.of(self.start),
            nearest_centroid=Interval.of(self.centroid),
            difference_to_zero_steps=self._adapted_minus(self.start),
            difference=self._adapted_minus(self.centroid),
            head_alone=head_alone,
            difference_to_head_alone=difference_to_head_alone,
            pretrained_centroid=pretrained,
            difference_to_pretrained=difference_to_pretrained,
        )

    def _where_measured(self, shares: Sequence[float]) -> tuple[Interval | None, Interval | None]:
        return (Interval.of(shares), self._adapted_minus(shares)) if shares else (None, None)

    def _adapted_minus(self, shares: Sequence[float]) -> Interval:
        return Interval.of([a - b for a, b in zip(self.adapted, shares, strict=True)])


@torch.no_grad()
def adapted_accuracy(candidate: Candidate, setting: Setting) -> Interval:
    """The accuracy of `evaluate` alone, without what it is compared with."""
    plans = setting.plans(candidate.classes)
    return Interval.of([_adapted_accuracy(candidate, plan, None) for plan in plans])


@torch.no_grad()
def evaluate_by_step(candidate: Candidate, setting: Setting, *, steps: int) -> list[Interval]:
    """The accuracy after 0, 1, ..., ``steps`` inner steps: the adaptation curve."""
    shares: list[list[float]] = [[] for _ in range(steps + 1)]
    for plan in setting.plans(candidate.classes):
        for state in candidate.trajectory(plan, steps):
            logits = candidate.logits(plan, state.fast_weights)
            shares[state.number].append(_accuracy(logits, plan.query_labels()))
    return [Interval.of(of_episodes) for of_episodes in shares]


@torch.no_grad()
def evaluate_nearest_centroid(candidate: Candidate, setting: Setting) -> Interval:
    """The accuracy of class means of unadapted unit features, on the episodes of `evaluate`."""
    plans = setting.plans(candidate.classes)
    return Interval.of([_nearest_centroid_accuracy(candidate.embedded(plan)) for plan in plans])


def _adapted_accuracy(candidate: Candidate, plan: EpisodePlan, steps: int | None) -> float:
    *_, last = candidate.trajectory(plan, steps)
    return _accuracy(candidate.logits(plan, last.fast_weights), plan.query_labels())


def _nearest_centroid_accuracy(embedded: Episode) -> float:
    means = class_means(embedded.support.images, embedded.support)
    return _accuracy(-torch.cdist(embedded.query_images, means), embedded.query_labels)


def _accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return float((logits.argmax(1) == labels.to(logits.device)).to(torch.float32).mean())
