"""What a data set is before its images are decoded: classes of encoded image files.

A class belongs to a group (an alphabet, or a domain of photographs) when its data set has such a
thing; classes of one group are never divided between learning and selection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import PurePosixPath
from typing import Literal

DataFormat = Literal["omniglot", "vinyals", "folders", "domains"]
"""How a data set is laid out; "vinyals" is Omniglot in another division."""
IN_GROUPS: frozenset[DataFormat] = frozenset({"domains"})
"""Formats in which a class is told apart from those of its own group alone."""
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class ClassFiles:
    """What a class was read from: its name, and the sha256 of each of its files in their order."""

    name: str
    digests: tuple[bytes, ...]


@dataclass(frozen=True)
class EncodedClass:
    """One class: its name, its group (or ""), and its images as `(file name, bytes)`."""

    name: str
    group: str
    files: tuple[tuple[str, bytes], ...]

    @cached_property
    def listed(self) -> ClassFiles:
        """Its files by their contents, which are hashed once."""
        digests = (hashlib.sha256(content).digest() for _, content in self.files)
        return ClassFiles(self.name, tuple(digests))


def grouped(files: Iterable[tuple[PurePosixPath, bytes]], strip: int = 0) -> Iterator[EncodedClass]:
    """Gather files in path order into classes: the folder that holds a file is its class.

    The ``strip`` first folders of each path are left out of names; what is left above the class
    folder is its group.
    """
    inside = ((PurePosixPath(*path.parts[strip:]), content) for path, content in files)
    for folder, members in groupby(inside, lambda file: file[0].parent):
        group = folder.parent.as_posix()
        yield EncodedClass(
            name=folder.as_posix(),
            group="" if group == "." else group,
            files=tuple((path.name, content) for path, content in members),
        )
