"""Accuracy on episodes of classes never seen, with its interval, beside nearest centroid."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ..data.episodes import ClassImages, EpisodePlan, EpisodeShape, realize, seeded
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
        for number in range(self.episodes):
            yield classes.plan(self.shape, seeded(self.seed, number))


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
    """What an evaluation measured; accuracies are shares in 0..1.

    ``zero_steps`` is the accuracy of the head's start, before any inner step, ``head_alone`` that
    after steps of the head without the network, where the network adapts too,
    ``pretrained_centroid`` that of nearest centroid in other features, where there are such. The
    differences are those of the adapted accuracy to the others, paired by episode. ``by_group`` has
    the mean adapted accuracy of the episodes of each group, where an episode is of one group.
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
    by_group: Mapping[str, float] | None = None


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
    shares: dict[str, list[float]] = defaultdict(list)
    by_group: dict[str, list[float]] = defaultdict(list)
    classes = candidate.classes
    for plan in setting.plans(classes):
        states = list(candidate.trajectory(plan, steps))
        labels = plan.query_labels()
        logits = candidate.logits(plan, states[-1].fast_weights)
        accuracy = {
            "adapted": _accuracy(logits, labels),
            "zero_steps": _accuracy(candidate.logits(plan, states[0].fast_weights), labels),
            "centroid": _nearest_centroid_accuracy(candidate.embedded(plan)),
        }
        if candidate.head_alone is not None:
            accuracy["head_alone"] = _adapted_accuracy(candidate.head_alone, plan, steps)
        if pretrained is not None:
            accuracy["pretrained"] = _nearest_centroid_accuracy(realize(pretrained, plan))
        for classifier, share in accuracy.items():
            shares[classifier].append(share)
        if classes.in_groups:
            by_group[classes.groups[plan.classes[0]]].append(accuracy["adapted"])
        on_episode(accuracy["adapted"])
        on_logits(plan, states[-1].fast_weights, logits)
    means = {group: sum(own) / len(own) for group, own in sorted(by_group.items())}
    return replace(_summary(shares), by_group=means or None)


def _summary(shares: Mapping[str, Sequence[float]]) -> Evaluation:
    """The evaluation of classifiers by the shares that they have right, one an episode."""
    adapted = shares["adapted"]
    intervals = {classifier: Interval.of(values) for classifier, values in shares.items()}
    differences = {
        classifier: Interval.of([a - b for a, b in zip(adapted, values, strict=True)])
        for classifier, values in shares.items()
    }
    return Evaluation(
        episodes=len(adapted),
        accuracy=intervals["adapted"],
        zero_steps=intervals["zero_steps"],
        nearest_centroid=intervals["centroid"],
        difference_to_zero_steps=differences["zero_steps"],
        difference=differences["centroid"],
        head_alone=intervals.get("head_alone"),
        difference_to_head_alone=differences.get("head_alone"),
        pretrained_centroid=intervals.get("pretrained"),
        difference_to_pretrained=differences.get("pretrained"),
    )


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
