"""Fitting a calibration, and measuring what a calibration is worth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ..checkpoints.calibration import (
    Calibration,
    Likeness,
)
from ..checkpoints.checkpoint import Checkpoint
from ..data.episodes import ClassImages, EpisodePlan, EpisodeShape, realize, seeded
from ..errors import BadData
from ..meta.head import SCALE
from ..meta.inner_loop import Initialization
from ..meta.network import Network
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
"""Support sets of two images, the share of them that is not warned about, and how much further
off a set may be: smooth strokes of another pen are no other kind of picture."""
TRAINING_IMAGES = 8
"""Images of each training class whose statistics count."""


@torch.no_grad()
def fit_calibration(
    network: Network,
    initialization: Initialization,
    training: ClassImages,
    held_out: ClassImages,
    seed: int,
    episodes: int,
) -> Calibration:
    """Fit temperature and threshold on episodes of held-out classes, likeness on both.

    Every setting of SETTINGS that has enough classes weighs alike, with so many ``episodes``.
    Raises BadData when none has enough.
    """
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
    found, distances = [], []
    candidate = Inductive(network, initialization, held_out)
    scale = float(initialization.params[SCALE])
    for way, shot in settings:
        setting = Setting(EpisodeShape.fixed(way, shot, N_QUERY), episodes, seed)
        scores, labels = _known_scores(candidate, setting)
        found.append((scores, labels))
        distances.append(distance(scores, scale, torch.tensor([shot] * way)).quantile(KEPT))
    losses = [
        sum(float(functional.cross_entropy(scores / t, labels)) for scores, labels in found)
        for t in TEMPERATURES
    ]
    at_means = initialization.inner_loop.head_start == "class_means"
    return Calibration(
        temperature=TEMPERATURES[losses.index(min(losses))],
        none_of_these=float(torch.stack(distances).mean()) if at_means else None,
        kept=KEPT,
        settings=settings,
        likeness=fit_likeness(training, held_out, seed),
    )


def fit_likeness(training: ClassImages, held_out: ClassImages, seed: int) -> Likeness:
    """Moments from training classes; the threshold from small support sets of held-out ones."""
    seen = torch.cat([image_statistics(images[:TRAINING_IMAGES]) for images in training.images])
    means = seen.mean(0)
    covariance = (seen - means).T @ (seen - means) / len(seen)
    covariance = covariance + 0.01 * covariance.diag().diag() + 1e-6 * torch.eye(len(means))
    whitening = torch.linalg.cholesky(torch.linalg.inv(covariance))
    others = torch.cat([image_statistics(images) for images in held_out.images])
    unlike = ((others - means) @ whitening).square().mean(1)
    drawn = torch.randint(len(unlike), (SUPPORT_SETS, 2), generator=seeded(seed, 2))
    threshold = MARGIN * float(unlike[drawn].mean(1).quantile(QUANTILE))
    return Likeness(means=means.tolist(), whitening=whitening.tolist(), threshold=threshold)


def area_under_roc(known: torch.Tensor, unknown: torch.Tensor) -> float:
    """The chance that an unknown image's `distance` is above a known one's; ties count half."""
    ordered = known.sort().values
    below = torch.searchsorted(ordered, unknown)
    up_to = torch.searchsorted(ordered, unknown, right=True)
    return float((below + up_to).double().mean() / (2 * len(known)))


def warned_share(likeness: Likeness, classes: ClassImages, setting: Setting) -> float:
    """The share of support sets that are told to be unlike the training data."""
    warned = [
        likeness.unlikeness(realize(classes, plan).support.images.cpu()) > likeness.threshold
        for plan in setting.plans(classes)
    ]
    return sum(warned) / len(warned)


@dataclass(frozen=True)
class CalibrationFound:
    """What a calibration is worth on some episodes; shares in 0..1.

    ``auroc`` is between queries of an episode's classes and as many of others; ``flagged`` the
    share of the former that count as none of these. None where the classes or the calibration
    do not allow it.
    """

    error: float
    auroc: float | None
    flagged: float | None


class CalibrationMeter:
    """Watches an evaluation's scores, to tell what the checkpoint's calibration is worth."""

    def __init__(self, checkpoint: Checkpoint, candidate: Inductive, seed: int) -> None:
        self._checkpoint, self._candidate, self._seed = checkpoint, candidate, seed
        self._probabilities: list[torch.Tensor] = []
        self._labels: list[torch.Tensor] = []
        self._known: list[torch.Tensor] = []
        self._unknown: list[torch.Tensor] = []

    @torch.no_grad()
    def watch(self, plan: EpisodePlan, fast_weights: Params, scores: torch.Tensor) -> None:
        """Take in an episode: its plan, fast weights and the `(query, n_way)` logits."""
        checkpoint = self._checkpoint
        shots = torch.tensor([len(members) for members in plan.support])
        scores = scores.cpu()
        self._probabilities.append(checkpoint.scoring.probabilities(scores).max(1).values)
        self._labels.append(scores.argmax(1) == plan.query_labels())
        images = self._others(plan, len(scores), len(self._labels))
        known = checkpoint.scoring.none_of_these(scores, shots)
        if known is not None and images:
            others = self._candidate.scores_of(images, fast_weights).cpu()
            unknown = checkpoint.scoring.none_of_these(others, shots)
            self._known.append(known)
            self._unknown.extend([] if unknown is None else [unknown])

    def found(self) -> CalibrationFound:
        """What the episodes so far tell."""
        error = expected_calibration_error(torch.cat(self._probabilities), torch.cat(self._labels))
        if not self._known:
            return CalibrationFound(error, None, None)
        known = torch.cat(self._known)
        flagged = float((known > 1).double().mean())
        return CalibrationFound(error, area_under_roc(known, torch.cat(self._unknown)), flagged)

    def _others(self, plan: EpisodePlan, count: int, number: int) -> list[tuple[int, int]]:
        """``count`` images, by class and place, of classes that are not in the episode, if any."""
        generator = seeded(self._seed, number, 1)
        members = self._candidate.classes.images
        rest = sorted(set(range(len(members))) - set(plan.classes))
        if not rest:
            return []
        picked = torch.randint(len(rest), (count,), generator=generator).tolist()
        places = torch.rand(count, generator=generator).tolist()
        return [
            (rest[i], int(place * len(members[rest[i]])))
            for i, place in zip(picked, places, strict=True)
        ]


def _known_scores(candidate: Inductive, setting: Setting) -> tuple[torch.Tensor, torch.Tensor]:
    scores, labels = [], []
    for plan in setting.plans(candidate.classes):
        *_, last = candidate.trajectory(plan, None)
        scores.append(candidate.scores(plan, last.fast_weights))
        labels.append(plan.query_labels())
    return torch.cat(scores), torch.cat(labels)
