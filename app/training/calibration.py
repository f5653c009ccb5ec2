"""Fitting a calibration, and measuring what a calibration is worth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ..checkpoints.calibration import Calibration, Likeness
from ..checkpoints.checkpoint import Checkpoint
from ..data.episodes import (
    ClassImages,
    EpisodePlan,
    EpisodeShape,
    realize,
    seeded,
)
from ..errors import BadData
from ..images.preprocessing import Preprocessing
from ..meta.head import SCALE, HeadStart
from ..meta.params import Params
from ..meta.scores import distance, expected_calibration_error
from .candidate import Inductive
from .evaluation import Setting

SETTINGS = ((2, 1), (5, 1), (5, 5), (20, 1), (20, 5))
N_QUERY = 3
TEMPERATURES = torch.logspace(-1, 1, 201, base=5).tolist()
KEPT = 0.95
"""Share of the images of its classes that the none-of-these threshold keeps."""
SUPPORT_SETS, QUANTILE, MARGIN = 5000, 0.999, 2.0
"""Support sets of two images, the share of them that is not warned about, and how many times as
far off a set may be: smooth strokes of another pen are still drawings."""
OF_MEANS: tuple[HeadStart, ...] = ("class_means", "close_means")
"""Starts of the head by which a logit tells how near a class is, so that there is a threshold."""
TRAINING_IMAGES = 8
"""Images of each training class whose statistics count."""


@torch.no_grad()
def fit_calibration(
    candidate: Inductive,
    training: ClassImages,
    preprocessing: Preprocessing,
    seed: int,
    episodes: int,
) -> Calibration:
    """Fit temperature and threshold on episodes of the candidate's held-out classes.

    Likeness is fitted on these and on ``training`` classes. Every setting of SETTINGS that has
    enough classes weighs alike, with so many ``episodes``. Raises BadData when none has enough.
    """
    initialization, held_out = candidate.initialization, candidate.classes
    settings = _possible_settings(held_out)
    logits_and_labels, distances = [], []
    scale = float(initialization.params[SCALE])
    for way, shot in settings:
        setting = Setting(EpisodeShape.fixed(way, shot, N_QUERY), episodes, seed)
        logits, labels = _query_logits(candidate, setting)
        logits_and_labels.append((logits, labels))
        distances.append(distance(logits, scale, torch.tensor([shot] * way)).quantile(KEPT))
    losses = [
        sum(float(functional.cross_entropy(logits / t, y)) for logits, y in logits_and_labels)
        for t in TEMPERATURES
    ]
    at_means = initialization.inner_loop.head_start in OF_MEANS
    return Calibration(
        temperature=TEMPERATURES[losses.index(min(losses))],
        none_of_these=float(torch.stack(distances).mean()) if at_means else None,
        kept=KEPT,
        settings=settings,
        likeness=fit_likeness(training, held_out, preprocessing, seed),
    )


def fit_likeness(
    training: ClassImages, held_out: ClassImages, preprocessing: Preprocessing, seed: int
) -> Likeness:
    """Moments from training classes; the threshold from small support sets of held-out ones."""
    statistics = _statistics(training, preprocessing, TRAINING_IMAGES)
    means = statistics.mean(0)
    covariance = (statistics - means).T @ (statistics - means) / len(statistics)
    covariance = covariance + 0.01 * covariance.diag().diag() + 1e-6 * torch.eye(len(means))
    whitening = torch.linalg.cholesky(torch.linalg.inv(covariance))
    unseen = _statistics(held_out, preprocessing)
    distances = ((unseen - means) @ whitening).square().mean(1)
    drawn = torch.randint(len(distances), (SUPPORT_SETS, 2), generator=seeded(seed, 2))
    threshold = MARGIN * float(distances[drawn].mean(1).quantile(QUANTILE))
    return Likeness(means=means.tolist(), whitening=whitening.tolist(), threshold=threshold)


def _statistics(
    classes: ClassImages, preprocessing: Preprocessing, most: int | None = None
) -> torch.Tensor:
    """`(image, statistic)` of ``most`` images of each class, or of all."""
    described = classes.computed(preprocessing.statistics, most)
    return torch.cat([statistics[:] for statistics in described.images])


def area_under_roc(known: torch.Tensor, unknown: torch.Tensor) -> float:
    """The chance that an unknown image's `distance` is above a known one's; ties count half."""
    ordered = known.sort().values
    below = torch.searchsorted(ordered, unknown)
    up_to = torch.searchsorted(ordered, unknown, right=True)
    return float((below + up_to).double().mean() / (2 * len(known)))


def warned_share(
    likeness: Likeness, classes: ClassImages, preprocessing: Preprocessing, setting: Setting
) -> float:
    """The share of support sets that are warned to be unlike the training data."""
    statistics = classes.computed(preprocessing.statistics)
    warned = [
        likeness.unlikeness(realize(statistics, plan).support.images) > likeness.threshold
        for plan in setting.plans(classes)
    ]
    return sum(warned) / len(warned)


@dataclass(frozen=True)
class CalibrationWorth:
    """What a calibration is worth on some episodes; shares in 0..1.

    ``auroc`` is between queries of an episode's classes and as many of others; ``flagged`` the
    share of the former that count as none of these. None where the classes or the calibration
    do not allow it.
    """

    error: float
    auroc: float | None
    flagged: float | None


class CalibrationMeter:
    """Watches an evaluation's logits, to tell what the checkpoint's calibration is worth."""

    def __init__(self, checkpoint: Checkpoint, candidate: Inductive, seed: int) -> None:
        self._scoring, self._candidate, self._seed = checkpoint.scoring, candidate, seed
        self._confidences: list[torch.Tensor] = []
        self._right: list[torch.Tensor] = []
        self._known: list[torch.Tensor] = []
        self._unknown: list[torch.Tensor] = []

    @torch.no_grad()
    def watch(self, plan: EpisodePlan, fast_weights: Params, logits: torch.Tensor) -> None:
        """Take in an episode: its plan, fast weights and the `(query, n_way)` logits."""
        shots = torch.tensor([len(members) for members in plan.support])
        logits = logits.cpu()
        self._confidences.append(self._scoring.probabilities(logits).max(1).values)
        self._right.append(logits.argmax(1) == plan.query_labels())
        known = self._scoring.none_of_these(logits, shots)
        strangers = self._strangers(plan, len(logits), len(self._right))
        if known is None or not strangers:
            return
        unknown = self._scoring.none_of_these(
            self._candidate.logits_of(strangers, fast_weights).cpu(), shots
        )
        self._known.append(known)
        self._unknown.extend([] if unknown is None else [unknown])

    def worth(self) -> CalibrationWorth:
        """What the episodes so far tell."""
        error = expected_calibration_error(torch.cat(self._confidences), torch.cat(self._right))
        if not self._known:
            return CalibrationWorth(error, None, None)
        known = torch.cat(self._known)
        flagged = float((known > 1).double().mean())
        return CalibrationWorth(error, area_under_roc(known, torch.cat(self._unknown)), flagged)

    def _strangers(self, plan: EpisodePlan, count: int, episode: int) -> list[tuple[int, int]]:
        """``count`` images, by class and position, of classes outside of the episode, if any."""
        generator = seeded(self._seed, episode, 1)
        members, groups = self._candidate.classes.images, self._candidate.classes.groups
        outside = sorted(set(range(len(members))) - set(plan.classes))
        if self._candidate.classes.in_groups:
            outside = [index for index in outside if groups[index] == groups[plan.classes[0]]]
        if not outside:
            return []
        picked = torch.randint(len(outside), (count,), generator=generator).tolist()
        fractions = torch.rand(count, generator=generator).tolist()
        return [
            (outside[i], int(fraction * len(members[outside[i]])))
            for i, fraction in zip(picked, fractions, strict=True)
        ]


def _possible_settings(held_out: ClassImages) -> list[tuple[int, int]]:
    """Those of SETTINGS that have enough classes. Raises BadData when none has."""
    counts = [len(images) for images in held_out.images]
    settings = [
        (way, shot)
        for way, shot in SETTINGS
        if sum(count >= shot + N_QUERY for count in counts) >= way
    ]
    if not settings:
        (way, shot), *_ = SETTINGS
        raise BadData(
            f"to calibrate, expected at least {way} held-out classes of {shot + N_QUERY} images "
            f"or more, got {sum(count >= shot + N_QUERY for count in counts)}"
        )
    return settings


def _query_logits(candidate: Inductive, setting: Setting) -> tuple[torch.Tensor, torch.Tensor]:
    """`(query, n_way)` logits and `(query,)` labels of all queries of a setting's episodes.

    Classes that an episode's group has not, of those asked for, have logits of minus infinity.
    """
    logits, labels = [], []
    for plan in setting.plans(candidate.classes):
        *_, last = candidate.trajectory(plan, None)
        own = candidate.logits(plan, last.fast_weights)
        missing = setting.shape.n_way[1] - own.shape[1]
        logits.append(functional.pad(own, (0, missing), value=-torch.inf))
        labels.append(plan.query_labels())
    return torch.cat(logits), torch.cat(labels)
