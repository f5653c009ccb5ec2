"""The report on a support set: each image is classified by what the others make of its class."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import torch

from ..engine.handle import Handle
from ..engine.work import Fold
from ..errors import DeadlineExceeded, InnerLoopDiverged, Unavailable
from .deadline import within
from .labelled_support import LabelledSupport
from .service import Service
from .values import AdaptCall, Confusion, Notice, Report, Suspect

EXACT_UP_TO = 50
"""Support images up to which each one is held out by itself."""
FOLDS = 10


async def report_on(
    service: Service,
    handle: Handle,
    support: LabelledSupport,
    kept: torch.Tensor,
    call: AdaptCall,
) -> tuple[Report | None, tuple[Notice, ...]]:
    """The report on what is kept of images, or a notice that there was no time or room for it."""
    seconds = service.limits.report_deadline_seconds
    try:
        async with within(seconds, "checking the support set"):
            # What does not adapt is computed once for all folds.
            frozen = await asyncio.wrap_future(service.engine.freeze(handle, kept, call.tenant))
            folds = [
                Fold(frozen, support.positions, len(support.names), held_out)
                for held_out in folds_of(support.labels)
            ]
            logits = await _logits(service, handle, folds, call)
    except DeadlineExceeded:
        message = f"the support set could not be checked within {seconds:g} s"
        return None, (Notice("report_unfinished", message),)
    except (Unavailable, InnerLoopDiverged) as failed:
        message = f"the support set could not be checked: {failed}"
        return None, (Notice("report_unfinished", message),)
    held_out = [position for fold in folds for position in fold.held_out]
    return _report(support, held_out, logits, handle.scoring.probabilities(logits)), ()


def folds_of(labels: Sequence[str]) -> list[list[int]]:
    """Positions that are held out together; images of classes of one image are in none.

    Up to `EXACT_UP_TO` images each is alone, beyond it there are ten folds, each with its part of
    every class.
    """
    counts = Counter(labels)
    checkable = [i for i, label in enumerate(labels) if counts[label] > 1]
    if len(labels) <= EXACT_UP_TO:
        return [[position] for position in checkable]
    by_class = sorted(checkable, key=lambda i: (labels[i], i))
    dealt = [by_class[start::FOLDS] for start in range(FOLDS)]
    return [fold for fold in dealt if fold]


async def _logits(
    service: Service, handle: Handle, folds: Sequence[Fold], call: AdaptCall
) -> torch.Tensor:
    """`(held out, n_way)` logits of the folds one after another.

    As many at once as the engine computes, so that its queue is left to other calls.
    """
    logits: dict[int, torch.Tensor] = {}
    waiting = iter(enumerate(folds))

    async def work() -> None:
        for place, fold in waiting:
            job = service.engine.hold_out(handle, fold, call.options.steps, call.tenant)
            logits[place] = await asyncio.wrap_future(job)

    workers = [asyncio.create_task(work()) for _ in range(service.limits.concurrent_decodes)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
    parts = [logits[place] for place in range(len(folds))]
    return torch.cat(parts) if parts else torch.empty(0, 1)


def _report(
    support: LabelledSupport,
    held_out: Sequence[int],
    logits: torch.Tensor,
    probabilities: torch.Tensor,
) -> Report:
    positions: list[int] = support.positions.tolist()
    truth = [positions[place] for place in held_out]
    guesses: list[int] = logits.argmax(1).tolist()
    right = sum(guess == label for guess, label in zip(guesses, truth, strict=True))
    counts = support.image_counts()
    return Report(
        method="leave_one_out" if len(positions) <= EXACT_UP_TO else "ten_fold",
        n_checked=len(held_out),
        accuracy=right / len(held_out) if held_out else None,
        confusion=Confusion.of(support.names, truth, guesses),
        suspects=tuple(_suspects(support, held_out, truth, logits, probabilities)),
        not_checkable=tuple(
            name for name, count in zip(support.names, counts, strict=True) if count == 1
        ),
    )


def _suspects(
    support: LabelledSupport,
    held_out: Sequence[int],
    truth: Sequence[int],
    logits: torch.Tensor,
    probabilities: torch.Tensor,
) -> list[Suspect]:
    """Held-out images that are taken for another label, most clearly so first.

    A wrong label shows in an image that is near another class and far from its own, so the
    margin of the logits between the two tells more than either alone.
    """
    suspects = []
    names = support.names
    for row, chances, position, label in zip(logits, probabilities, held_out, truth, strict=True):
        nearest = int(row.argmax())
        if nearest != label:
            margin, chance = float(row[nearest] - row[label]), float(chances[nearest])
            image = support.sent_at(position)
            suspects.append(Suspect(position, image, names[label], names[nearest], margin, chance))
    return sorted(suspects, key=lambda suspect: (-suspect.margin, suspect.position))
