"""That all contenders do the same work: the probabilities that their answers have to hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint
from inkling.images.decode import decode
from inkling.meta.episode import Support

from ..plain import agreement, reference
from .uploads import Task
from .work import CHECKPOINT

TOLERANCE = 1e-4
"""Of probabilities, between contenders."""


class Disagreement(Exception):
    """Contenders that do not do the same work."""


def check(who: str, found: Mapping[str, float], expected: Mapping[str, float]) -> None:
    """Raises Disagreement unless probabilities by label are the expected ones."""
    off = max(abs(found[label] - probability) for label, probability in expected.items())
    if off > TOLERANCE:
        raise Disagreement(f"{who}: probabilities are off by {off:.2g}")


def expected_probabilities(tasks: Sequence[Task]) -> list[dict[str, float]]:
    """The probabilities of each task's query by `inkling.meta`. Raises Disagreement."""
    checkpoint = load_checkpoint(find_checkpoint(CHECKPOINT))
    return [_expected_of(task, checkpoint) for task in tasks]


def _expected_of(task: Task, checkpoint: Checkpoint) -> dict[str, float]:
    def read(image: bytes) -> torch.Tensor:
        return checkpoint.preprocessing(decode(image))

    labels = sorted(task.support)
    images = torch.stack([read(task.support[label]) for label in labels])
    support = Support(images, torch.arange(len(labels)), len(labels))
    query = read(task.query).unsqueeze(0)
    difference = agreement(checkpoint, support, query)
    if difference > TOLERANCE:
        raise Disagreement(f"the plain module's probabilities are off by {difference:.2g}")
    (row,) = reference(checkpoint, support, query).tolist()
    return dict(zip(labels, row, strict=True))
