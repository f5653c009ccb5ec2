"""Accuracy on episodes of classes never seen, with its interval, beside nearest centroid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from ..data.episodes import ClassImages, EpisodePlan, EpisodeShape, plan_episode, realize, seeded
from ..meta import head
from ..meta.episode import Episode
from ..meta.head import class_means, unit
from ..meta.inner_loop import Initialization, logits, trajectory
from ..meta.network import Network
from ..meta.params import Params
from .transductive import Transductive, embed_episode

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

    ``zero_steps`` is the accuracy of the head's start, before any inner step,
    ``pretrained_centroid`` that of nearest centroid in other features, where there are such. The
    differences are those of the adapted accuracy to the others, paired by episode.
    """

    episodes: int
    accuracy: Interval
    zero_steps: Interval
    nearest_centroid: Interval
    difference_to_zero_steps: Interval
    difference: Interval
    pretrained_centroid: Interval | None = None
    difference_to_pretrained: Interval | None = None


@torch.no_grad()
def evaluate(
    network: Network,
    initialization: Initialization,
    classes: ClassImages,
    setting: Setting,
    *,
    steps: int | None = None,
    pretrained: ClassImages | None = None,
    on_episode: Callable[[float], None] = lambda _: None,
    on_scores: Callable[[EpisodePlan, Params, torch.Tensor], None] = lambda *_: None,
) -> Evaluation:
    """Adapt to the support set of each episode and classify its queries, each by itself.

    With a `Transductive` network, queries are classified as one batch instead.

    ``pretrained`` are the classes as another initialization embeds them, see `embed`.
    ``on_episode`` is told each episode's accuracy, ``on_scores`` its plan, its
    fast weights and the `(query, n_way)` logits of its queries.
    """
    embedding = _embedding(network, initialization, classes)
    adapted_shares, start_shares, centroid_shares, pretrained_shares = [], [], [], []
    for plan in setting.plans(classes):
        episode = realize(classes, plan)
        states = list(trajectory(network, initialization, episode.support, steps=steps))
        scores = logits(network, states[-1].fast_weights, episode.query_images)
        adapted_shares.append(_accuracy(scores, episode))
        features = embedding(plan, episode)
        start_scores = head.logits(states[0].fast_weights, features.query_images)
        start_shares.append(_accuracy(start_scores, episode))
        centroid_shares.append(_nearest_centroid_accuracy(features))
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
        Interval.of(pretrained_shares) if pretrained_shares else None,
        _paired(adapted_shares, pretrained_shares) if pretrained_shares else None,
    )


@torch.no_grad()
def evaluate_by_step(
    network: Network,
    initialization: Initialization,
    classes: ClassImages,
    setting: Setting,
    *,
    steps: int,
) -> list[Interval]:
    """The accuracy after 0, 1, ..., ``steps`` inner steps: the adaptation curve."""
    shares: list[list[float]] = [[] for _ in range(steps + 1)]
    for plan in setting.plans(classes):
        episode = realize(classes, plan)
        for state in trajectory(network, initialization, episode.support, steps=steps):
            scores = logits(network, state.fast_weights, episode.query_images)
            shares[state.number].append(_accuracy(scores, episode))
    return [Interval.of(found) for found in shares]


@torch.no_grad()
def evaluate_nearest_centroid(
    network: Network,
    initialization: Initialization,
    classes: ClassImages,
    setting: Setting,
) -> Interval:
    """The accuracy of class means of unadapted unit features, on the episodes of `evaluate`."""
    embedded = embed(network, initialization, classes)
    return Interval.of(
        [_nearest_centroid_accuracy(realize(embedded, plan)) for plan in setting.plans(classes)]
    )


@torch.no_grad()
def embed(network: Network, initialization: Initialization, classes: ClassImages) -> ClassImages:
    """The unit features `(image, feature)` of every image, in place of the images."""
    return replace(
        classes,
        images=tuple(
            unit(network.features(initialization.params, images)) for images in classes.images
        ),
    )


def _embedding(
    network: Network, initialization: Initialization, classes: ClassImages
) -> Callable[[EpisodePlan, Episode], Episode]:
    """What gives an episode's features; those of all images are made once where they may be."""
    if isinstance(network, Transductive):
        return lambda _, episode: embed_episode(network, initialization, episode)
    embedded = embed(network, initialization, classes)
    return lambda plan, _: realize(embedded, plan)


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    return Interval.of([a - b for a, b in zip(ours, theirs, strict=True)])


def _nearest_centroid_accuracy(embedded: Episode) -> float:
    means = class_means(embedded.support.images, embedded.support)
    return _accuracy(-torch.cdist(embedded.query_images, means), embedded)


def _accuracy(scores: torch.Tensor, episode: Episode) -> float:
    return float((scores.argmax(1) == episode.query_labels).to(torch.float32).mean())
