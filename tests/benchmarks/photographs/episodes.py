"""Episodes of one domain on which several classifiers are measured, and what they came to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from inkling.data.episodes import (
    LEAST_QUERY,
    LEAST_WAY,
    ClassImages,
    EpisodeShape,
    realize,
    seeded,
)
from inkling.meta.episode import Episode
from inkling.meta.scores import expected_calibration_error
from inkling.training.calibration import area_under_roc
from inkling.training.evaluation import NORMAL_QUANTILE, Interval

from .classifiers import Classifier, Inkling
from .features import Features

N_QUERY = 15
OWN, START = "inkling", "inkling, 0 steps"
Shares = dict[str, dict[str, list[float]]]
"""Of each classifier and domain the share of queries that it has right, an episode each."""


@dataclass(frozen=True)
class Setting:
    """Episodes of a way and shot, looked at in a number of views; ``uneven`` draws 1 to shot."""

    n_way: int
    n_shot: int
    n_views: int
    episodes: int
    uneven: bool = False

    def shape(self) -> EpisodeShape:
        """The episodes."""
        low = 1 if self.uneven else self.n_shot
        return EpisodeShape((self.n_way,) * 2, (low, self.n_shot), N_QUERY, self.uneven)

    def told(self) -> str:
        """The setting in words."""
        shots = f"1 to {self.n_shot} uneven" if self.uneven else f"{self.n_shot}"
        views = "1 view" if self.n_views == 1 else f"{self.n_views} views"
        return f"{self.n_way}-way {shots}-shot, {views}"


@torch.no_grad()
def measure(
    domains: Sequence[Features], setting: Setting, own: Inkling, others: Mapping[str, Classifier]
) -> Shares:
    """Classify the queries of the same episodes with each; domains of too few images sit out."""
    shares: Shares = {}
    for domain in domains:
        if not _takes_part(domain, setting):
            continue
        features, pooled = _classes(domain.domain, domain.own), _classes("", domain.pooled)
        for number in range(setting.episodes):
            plan = features.plan(setting.shape(), seeded(0, number))
            ours = _seen(realize(features, plan), setting.n_views)
            raw = _seen(realize(pooled, plan), setting.n_views)
            found = {OWN: own(ours.support, ours.query_images)}
            found[START] = own.at_start(ours.support, ours.query_images)
            for name, classify in others.items():
                found[name] = classify(raw.support, raw.query_images)
            for name, labels in found.items():
                share = float((labels == raw.query_labels).to(torch.float64).mean())
                shares.setdefault(name, {}).setdefault(domain.domain, []).append(share)
    return shares


@torch.no_grad()
def calibration(
    domains: Sequence[Features], setting: Setting, own: Inkling
) -> dict[str, tuple[float, float | None]]:
    """Of each domain the calibration error, and the none-of-these AUROC.

    For the latter support comes from half of the classes, at most those that a setting asks for,
    and the others are outsiders; None where there are fewer than four classes.
    """
    scoring, found = own.checkpoint.scoring, {}
    for domain in domains:
        if not _takes_part(domain, setting):
            continue
        classes = _classes(domain.domain, domain.own)
        confidences, right = [], []
        known, unknown = list[torch.Tensor](), list[torch.Tensor]()
        half = min(setting.n_way, len(domain.own) // 2)
        for number in range(setting.episodes):
            plan = classes.plan(setting.shape(), seeded(0, number))
            episode = _seen(realize(classes, plan), setting.n_views)
            logits = own.logits(episode.support, episode.query_images)
            confidences.append(scoring.probabilities(logits).max(1).values)
            right.append(logits.argmax(1) == episode.query_labels)
            if half < LEAST_WAY:
                continue
            shape = replace(setting.shape(), n_way=(half, half))
            plan = classes.plan(shape, seeded(0, number, 1))
            episode = _seen(realize(classes, plan), setting.n_views)
            outside = [k for k in range(len(domain.own)) if k not in plan.classes]
            strangers = torch.cat([domain.own[k][:LEAST_QUERY] for k in outside])
            shots = torch.tensor([len(members) for members in plan.support])
            for images, into in ((episode.query_images, known), (strangers, unknown)):
                seen = images[:, : setting.n_views]
                distances = scoring.none_of_these(own.logits(episode.support, seen), shots)
                into.extend([] if distances is None else [distances])
        error = expected_calibration_error(torch.cat(confidences), torch.cat(right))
        auroc = area_under_roc(torch.cat(known), torch.cat(unknown)) if known else None
        found[domain.domain] = (error, auroc)
    return found


def mean_over_domains(of_domains: Mapping[str, Sequence[float]]) -> Interval:
    """The mean over domains, which weigh alike, with the interval that their episodes give it."""
    intervals = [Interval.of(values) for values in of_domains.values()]
    variance = sum((each.half_width / NORMAL_QUANTILE) ** 2 for each in intervals)
    return Interval(
        sum(each.mean for each in intervals) / len(intervals),
        NORMAL_QUANTILE * math.sqrt(variance) / len(intervals),
    )


def differences(
    ones: Mapping[str, Sequence[float]], others: Mapping[str, Sequence[float]]
) -> dict[str, list[float]]:
    """Of each domain the differences on the same episodes."""
    return {
        domain: [a - b for a, b in zip(values, others[domain], strict=True)]
        for domain, values in ones.items()
    }


def _takes_part(domain: Features, setting: Setting) -> bool:
    enough = [len(images) >= setting.n_shot + LEAST_QUERY for images in domain.own]
    return sum(enough) >= LEAST_WAY


def _classes(domain: str, images: tuple[torch.Tensor, ...]) -> ClassImages:
    names = tuple(str(place) for place in range(len(images)))
    return ClassImages(names, (domain,) * len(images), images, in_groups=True)


def _seen(episode: Episode, n_views: int) -> Episode:
    support = replace(episode.support, images=episode.support.images[:, :n_views])
    return replace(episode, support=support, query_images=episode.query_images[:, :n_views])
