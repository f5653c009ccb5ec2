"""The report on a support set: each image is classified by what the others make of its class."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import torch

from ..errors import DeadlineExceeded
from ..meta.episode import Support
from .values import Confusion, Report, Suspect

EXACT_UP_TO = 50
"""Support images up to which each one is held out by itself."""
FOLDS = 10

HeldOut = Callable[[Support, torch.Tensor], torch.Tensor]
"""Adapt to a support set and give the `(other, n_way)` logits of other images."""


def folds(labels: Sequence[int]) -> list[list[int]]:
    """Positions that are held out together; images of classes of one image are in none.

    Up to `EXACT_UP_TO` images each is alone, beyond it there are ten folds, each with its share
    of every class.
    """
    checkable = [i for i, label in enumerate(labels) if labels.count(label) > 1]
    if len(labels) <= EXACT_UP_TO:
        return [[i] for i in checkable]
    by_class = sorted(checkable, key=lambda i: (labels[i], i))
    dealt = [by_class[number::FOLDS] for number in range(FOLDS)]
    return [fold for fold in dealt if fold]


def check_support(
    support: Support,
    names: tuple[str, ...],
    held_out: HeldOut,
    calibrated: Callable[[torch.Tensor], torch.Tensor],
    pool: ThreadPoolExecutor,
    deadline: float,
) -> Report:
    """Hold the images of a support set out in turn and see what the others make of them.

    Images are in whatever form ``held_out`` takes; ``calibrated`` turns logits into probabilities.
    Raises DeadlineExceeded when ``deadline`` (monotonic seconds) passes, and whatever adapting
    raises.
    """
    labels: list[int] = support.labels.tolist()
    positions, logits = _held_out_logits(support, folds(labels), held_out, pool, deadline)
    truth = [labels[i] for i in positions]
    guesses: list[int] = logits.argmax(1).tolist()
    right = sum(guess == label for guess, label in zip(guesses, truth, strict=True))
    return Report(
        method="leave_one_out" if len(labels) <= EXACT_UP_TO else "ten_fold",
        n_checked=len(positions),
        accuracy=right / len(positions) if positions else None,
        confusion=Confusion.of(names, truth, guesses),
        suspects=tuple(_suspects(logits, calibrated(logits), positions, truth, names)),
        not_checkable=tuple(name for i, name in enumerate(names) if labels.count(i) == 1),
    )


def _held_out_logits(
    support: Support,
    parts: list[list[int]],
    held_out: HeldOut,
    pool: ThreadPoolExecutor,
    deadline: float,
) -> tuple[list[int], torch.Tensor]:
    """Positions, and the `(checked, n_way)` logits of the images there."""

    def classify(fold: list[int]) -> torch.Tensor:
        kept = torch.ones(len(support.labels), dtype=torch.bool)
        kept[fold] = False
        rest = Support(support.images[kept], support.labels[kept], support.n_way)
        return held_out(rest, support.images[fold])

    running = [pool.submit(classify, fold) for fold in parts]
    try:
        done, late = wait(running, max(0.0, deadline - time.monotonic()), FIRST_EXCEPTION)
        for future in done:
            future.result()
        if late:
            raise DeadlineExceeded("checking the support set", deadline - time.monotonic())
    finally:
        for future in running:
            future.cancel()
    found = [future.result() for future in running]
    logits = torch.cat(found) if found else torch.empty(0, support.n_way)
    return [i for fold in parts for i in fold], logits


def _suspects(
    logits: torch.Tensor,
    probabilities: torch.Tensor,
    positions: Sequence[int],
    truth: Sequence[int],
    names: tuple[str, ...],
) -> list[Suspect]:
    """Held-out images that are taken for another label, most clearly so first.

    A wrong label shows in an image that is near another class and far from its own, so the
    margin of the logits between the two tells more than either alone.
    """
    found = []
    for row, chances, position, label in zip(logits, probabilities, positions, truth, strict=True):
        nearest = int(row.argmax())
        if nearest != label:
            margin, chance = float(row[nearest] - row[label]), float(chances[nearest])
            found.append(Suspect(position, None, names[label], names[nearest], margin, chance))
    return sorted(found, key=lambda suspect: (-suspect.margin, suspect.position))
