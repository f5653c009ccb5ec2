"""The report on a support set: each image is classified by what the others make of its class."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch

from ..engine.handle import Handle
from ..engine.work import Fold
from ..errors import DeadlineExceeded, InnerLoopDiverged, Unavailable
from .copies import Pictures
from .deadline import within
from .labelled_support import LabelledSupport
from .service import Service
from .values import Confusion, Notice, Report, Suspect

EXACT_UP_TO = 50
"""Pictures of a support set up to which each one is held out by itself."""
FOLDS = 10


@dataclass(frozen=True)
class Material:
    """What a report is made of.

    ``kept`` `(support, ...)` is what is kept of the images of ``support``, ``pictures`` tells which
    of them are copies, and ``steps`` are those of the inner loop.
    """

    support: LabelledSupport
    kept: torch.Tensor
    pictures: Pictures
    steps: int | None


async def report_if_possible(
    service: Service, handle: Handle, material: Material, tenant: str
) -> tuple[Report | None, tuple[Notice, ...]]:
    """The report on a support set, or a notice that there was no time or room for it."""
    try:
        return await report_on(service, handle, material, tenant), ()
    except DeadlineExceeded:
        seconds = service.limits.report_deadline_seconds
        message = f"the support set could not be checked within {seconds:g} s"
        return None, (Notice("report_unfinished", message),)
    except (Unavailable, InnerLoopDiverged) as failed:
        message = f"the support set could not be checked: {failed}"
        return None, (Notice("report_unfinished", message),)


async def report_on(service: Service, handle: Handle, material: Material, tenant: str) -> Report:
    """The report on a support set.

    Copies are held out together: none speaks for another. Raises DeadlineExceeded, Unavailable and
    InnerLoopDiverged.
    """
    support, pictures = material.support, material.pictures
    async with within(service.limits.report_deadline_seconds, "checking the support set"):
        # What does not adapt is computed once for all folds.
        frozen = await asyncio.wrap_future(service.engine.freeze(handle, material.kept, tenant))
        folds = [
            Fold(frozen, support.positions, len(support.names), held_out)
            for held_out in folds_of(support.labels, pictures)
        ]
        logits = await _logits(service, handle, folds, material.steps, tenant)
    held_out = [position for fold in folds for position in fold.held_out]
    probabilities = handle.scoring.probabilities(logits)
    return _report(support, pictures, _HeldOut(held_out, logits, probabilities))


def folds_of(labels: Sequence[str], pictures: Pictures) -> list[list[int]]:
    """Positions, ascending, of images that are held out together: all of some pictures.

    Up to `EXACT_UP_TO` pictures each is alone, beyond it there are ten folds, each with its part
    of every class. Every class keeps a picture; one without which its class has none is in no fold.
    """
    number = len(pictures) if len(pictures) <= EXACT_UP_TO else FOLDS
    in_class: dict[str, set[int]] = {}
    for picture, positions in enumerate(pictures):
        for position in positions:
            in_class.setdefault(labels[position], set()).add(picture)
    folds: list[set[int]] = [set() for _ in range(number)]
    by_class = sorted(range(len(pictures)), key=lambda p: min(labels[i] for i in pictures[p]))
    dealt = 0
    for picture in by_class:
        classes = [in_class[label] for label in {labels[i] for i in pictures[picture]}]
        for fold in (folds[(dealt + turn) % number] for turn in range(number)):
            together = fold | {picture}
            if not any(own <= together for own in classes):
                fold.add(picture)
                dealt += 1
                break
    held_out = [sorted(chain.from_iterable(pictures[p] for p in fold)) for fold in folds]
    return [fold for fold in held_out if fold]


async def _logits(
    service: Service, handle: Handle, folds: Sequence[Fold], steps: int | None, tenant: str
) -> torch.Tensor:
    """`(held out, n_way)` logits of the folds one after another.

    As many at once as the engine computes, so that its queue is left to other calls.
    """
    logits: dict[int, torch.Tensor] = {}
    waiting = iter(enumerate(folds))

    async def work() -> None:
        for place, fold in waiting:
            job = service.engine.hold_out(handle, fold, steps, tenant)
            logits[place] = await asyncio.wrap_future(job)

    workers = [asyncio.create_task(work()) for _ in range(service.limits.concurrent_decodes)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
    parts = [logits[place] for place in range(len(folds))]
    return torch.cat(parts) if parts else torch.empty(0, 1)


@dataclass(frozen=True)
class _HeldOut:
    """The positions of images that were held out, and `(held out, n_way)` of each."""

    positions: Sequence[int]
    logits: torch.Tensor
    probabilities: torch.Tensor


def _report(support: LabelledSupport, pictures: Pictures, held_out: _HeldOut) -> Report:
    counting = _counting(support.labels, pictures)
    classes: list[int] = support.positions.tolist()
    guesses: list[int] = held_out.logits.argmax(1).tolist()
    checked = [
        (classes[position], guess)
        for position, guess in zip(held_out.positions, guesses, strict=True)
        if position in counting
    ]
    right = sum(label == guess for label, guess in checked)
    told = {label for label, _ in checked}
    return Report(
        method="leave_one_out" if len(pictures) <= EXACT_UP_TO else "ten_fold",
        n_checked=len(checked),
        accuracy=right / len(checked) if checked else None,
        confusion=Confusion.of(
            support.names, [label for label, _ in checked], [guess for _, guess in checked]
        ),
        suspects=tuple(_suspects(support, held_out)),
        not_checkable=tuple(name for place, name in enumerate(support.names) if place not in told),
    )


def _counting(labels: Sequence[str], pictures: Pictures) -> set[int]:
    """One image of each picture. Of a picture with several labels none is known to be right."""
    return {
        positions[0]
        for positions in pictures
        if len({labels[position] for position in positions}) == 1
    }


def _suspects(support: LabelledSupport, held_out: _HeldOut) -> list[Suspect]:
    """Held-out images that are taken for another label, most clearly so first.

    A wrong label shows in an image that is near another class and far from its own, so the
    margin of the logits between the two tells more than either alone.
    """
    suspects = []
    names, classes = support.names, support.positions
    for row, chances, position in zip(
        held_out.logits, held_out.probabilities, held_out.positions, strict=True
    ):
        nearest, label = int(row.argmax()), int(classes[position])
        if nearest != label:
            margin, chance = float(row[nearest] - row[label]), float(chances[nearest])
            image = support.sent_at(position)
            suspects.append(Suspect(position, image, names[label], names[nearest], margin, chance))
    return sorted(suspects, key=lambda suspect: (-suspect.margin, suspect.position))
