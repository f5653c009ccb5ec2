"""Copies images into folders by what they show."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from ..client import Predictions
from ..client.sources import unlabelled
from ..errors import BadData

NONE_OF_THESE = "none of these"
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')


def copy_by_label(images: Sequence[Path], predicted: Predictions, target: Path) -> tuple[int, int]:
    """Copy images into folders of ``target`` by label, those that are none of these into their own.

    Gives how many were copied, and how many lay there already, byte for byte. A name that another
    image has gets a number. Raises BadData for labels that cannot have folders of their own, and
    for a folder or file that cannot be written.
    """
    folders = _folders({entry.label for each in predicted for entry in each.ranking})
    copied = there = 0
    try:
        with unlabelled(list(images)) as sources:
            left_out = {each.position for each in predicted.left_out}
            used = [one for place, one in enumerate(sources.images) if place not in left_out]
            for source, each in zip(used, predicted, strict=True):
                name = NONE_OF_THESE if each.none_of_these else folders[each.label]
                folder = target / name
                folder.mkdir(parents=True, exist_ok=True)
                original = Path(source.name or "image")
                if _copy(source.read(), original, folder):
                    copied += 1
                else:
                    there += 1
    except OSError as failed:
        raise BadData(f"{copied} images were copied into {target}, then: {failed}") from None
    return copied, there


def _folders(labels: set[str]) -> dict[str, str]:
    folders = {label: _NOT_IN_NAMES.sub("_", label).strip(". ") or "_" for label in labels}
    taken = [NONE_OF_THESE, *(name.casefold() for name in folders.values())]
    if len(set(taken)) < len(taken):
        raise BadData(
            "expected labels that can have folders of their own, beside "
            f"{NONE_OF_THESE!r}; got {', '.join(map(repr, sorted(labels)))}"
        )
    return folders


def _copy(content: bytes, original: Path, folder: Path) -> bool:
    """Write a file beside others; False where it is there already."""
    for target in _targets(folder, original):
        try:
            with target.open("xb") as file:
                file.write(content)
        except FileExistsError:
            if target.is_file() and target.read_bytes() == content:
                return False
            continue
        if original.is_file():
            times = original.stat()
            os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
        return True
    raise AssertionError("unreachable")


def _targets(folder: Path, original: PurePath) -> Iterator[Path]:
    yield folder / original.name
    for number in itertools.count(2):
        yield folder / f"{original.stem} ({number}){original.suffix}"
