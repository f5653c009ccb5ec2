"""Results of several calls as those of one that would not have fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from .results import ClassResult, Confusion, Evaluation


def class_results(confusion: Confusion) -> tuple[ClassResult, ...]:
    """Precision and recall of each label."""
    taken = [sum(column) for column in zip(*confusion.counts, strict=True)]
    return tuple(
        ClassResult(
            label,
            sum(row),
            row[position] / taken[position] if taken[position] else None,
            row[position] / sum(row) if sum(row) else None,
        )
        for position, (label, row) in enumerate(
            zip(confusion.labels, confusion.counts, strict=True)
        )
    )


def together(parts: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of the images of several, of one session and in their order."""
    if len(parts) == 1:
        return parts[0]
    confusion = _summed([part.confusion for part in parts])
    shares = [part.none_of_these for part in parts]
    total = sum(part.n_images for part in parts)

    def mean(values: Sequence[float]) -> float:
        weighted = zip(values, parts, strict=True)
        return sum(value * part.n_images for value, part in weighted) / total

    return Evaluation(
        answer=parts[-1].answer,
        n_images=total,
        accuracy=mean([part.accuracy for part in parts]),
        classes=class_results(confusion),
        confusion=confusion,
        mistakes=tuple(chain.from_iterable(part.mistakes for part in parts)),
        log_loss=mean([part.log_loss for part in parts]),
        calibration_error=None,
        none_of_these=mean([share for share in shares if share is not None])
        if None not in shares
        else None,
        warnings=tuple(dict.fromkeys(chain.from_iterable(part.warnings for part in parts))),
    )


def _summed(parts: Sequence[Confusion]) -> Confusion:
    """Labels stay in the order in which they come up."""
    labels = tuple(dict.fromkeys(chain.from_iterable(part.labels for part in parts)))
    place = {label: position for position, label in enumerate(labels)}
    counts = [[0] * len(labels) for _ in labels]
    for part in parts:
        for label, row in zip(part.labels, part.counts, strict=True):
            for other, count in zip(part.labels, row, strict=True):
                counts[place[label]][place[other]] += count
    return Confusion(labels, tuple(map(tuple, counts)))
