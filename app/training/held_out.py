"""Classes to choose by and to test on: none that a checkpoint knows.

A class is the same by its name or by any of its files, so that one that was renamed, divided,
joined with another or copied in part stays known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..checkpoints.learned_from import Known, LearnedFrom
from ..data import folders
from ..data.sources import DataFormat, EncodedClass, Split
from ..errors import BadData
from .datasets import read_split

LEAST_CLASSES = 2


@dataclass(frozen=True)
class HeldOut:
    """Encoded classes, read when they are asked for, and what results call them."""

    classes: Iterator[EncodedClass]
    name: str


def held_out(
    data_format: DataFormat, path: Path, split: Split, groups: list[str], learned: LearnedFrom
) -> HeldOut:
    """The classes of one split, none of which ``learned`` trained on.

    Classes to test on were not chosen by either; the training split is whole. Where a folder does
    not name its splits, and its classes came, went or were renamed since, other classes take the
    place of those that were dealt out: all that are not known to test on, those that it was chosen
    by for validation.

    Raises BadData, when the classes are read, where such classes are in a split that was named.
    """
    named = f"{data_format} {split}"
    if split == "train":
        return HeldOut(read_split(data_format, path, split, groups), named)
    known = learned.trained if split == "validation" else learned.trained | learned.chosen_by
    dealt = data_format == "folders" and not folders.names_splits(path)
    if dealt and any(known.has(each.listed) for each in folders.read(path, split)):
        if split == "validation":
            return HeldOut(_others(path, known, learned.chosen_by), named)
        return HeldOut(_others(path, known), f"{data_format} unseen")
    where = "among those that the checkpoint learned from or was chosen by"
    return HeldOut(apart(read_split(data_format, path, split, groups), known, split, where), named)


def apart(
    classes: Iterable[EncodedClass], known: Known, named: str, where: str
) -> Iterator[EncodedClass]:
    """Yield classes up to the first that is known; raise BadData behind the last if one is.

    The message says how many are, ``where``, with an example.
    """
    shared, count = list[str](), 0
    for each in classes:
        count += 1
        if known.has(each.listed):
            shared.append(_told(each, known) if not shared else each.name)
        if not shared:
            yield each
    if shared:
        raise BadData(
            f"{named}: {len(shared)} of {count} classes {'is' if len(shared) == 1 else 'are'} also "
            f"{where}, such as {shared[0]}. A class is the same by its name or by any of its "
            "files: take it out of one of both, or rename it where the name alone is the same"
        )


def _others(path: Path, known: Known, among: Known | None = None) -> Iterator[EncodedClass]:
    """The classes in a folder that are not known, of those ``among`` others where that is given."""
    count = 0
    for each in folders.read_all(path):
        if not known.has(each.listed) and (among is None or among.has(each.listed)):
            count += 1
            yield each
    if count < LEAST_CLASSES:
        raise BadData(
            f"{path}: expected at least {LEAST_CLASSES} classes that the checkpoint did not learn "
            f"from{'' if among is None else ' and was chosen by'}, got {count}"
        )


def _told(each: EncodedClass, known: Known) -> str:
    positions = known.files_of(each.listed)
    if not positions:
        return f"{each.name} (by its name)"
    example = each.files[positions[0]][0]
    return f"{each.name} ({len(positions)} of its {len(each.files)} files, as {example})"
