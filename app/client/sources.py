"""Images in any form in which callers give them, found now and read when they are sent."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from ..errors import BadData, InvalidInput, Problem
from ..files.images import images_among, opened
from ..files.left_out import FilesLeftOut, LeftOut
from ..files.tree import File, Tree
from ..given_images import Image, file_bytes, images_of
from ..support_files import class_files, files_of_class

Support = str | os.PathLike[str] | Mapping[str, Image | Iterable[Image]]
"""Images by label, or a folder or zip archive with a folder for each class. With images by label,
the path of a folder or archive stands for the images in it."""
ZIP_BEGINS = b"PK\3\4"
PACKAGE = f"{__name__.partition('.')[0]}."


class Reading(Protocol):
    """What gives the bytes of an image file."""

    def __call__(self) -> bytes:
        """Read them. Raises OSError, BadData and TypeError."""
        ...


@dataclass(frozen=True)
class Source:
    """An image to be read; ``name`` is its path, None where it has none."""

    read: Reading
    name: str | None
    label: str = ""


@dataclass
class Sources:
    """Images in the order given, and what is ``told`` of files that were left out.

    Archives among them stay open until it is closed.
    """

    images: list[Source] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def warn(self) -> None:
        """Tell of files that were left out by a warning, at the line that called this package."""
        level, frame = 2, sys._getframe().f_back
        while frame is not None and frame.f_globals.get("__name__", "").startswith(PACKAGE):
            level, frame = level + 1, frame.f_back
        for sentence in self.told:
            warnings.warn(sentence, FilesLeftOut, stacklevel=level)

    def add(self, image: Image, label: str = "") -> None:
        """One image as a caller holds it."""
        name = os.fspath(image) if isinstance(image, str | os.PathLike) else None
        self.images.append(Source(partial(file_bytes, image), name, label))

    def opened(self, root: Path) -> Tree:
        """What lies in a folder or archive, which stays open."""
        return self._open.enter_context(opened(root))

    def add_files(self, tree: Tree, files: Sequence[File], label: str = "") -> None:
        """Images of a folder or archive."""
        self.images += [Source(file.content, str(tree.root / file.path), label) for file in files]

    def tell(self, told: str | None) -> None:
        """Add a sentence, if there is one."""
        self.told += [] if told is None else [told]


def labelled(support: Support) -> Sources:
    """Images with their labels.

    Raises InvalidInput for a label without any, BadData for a folder or archive that is no support
    set, TypeError for what is neither.
    """
    with contextlib.ExitStack() as unless_found:
        found = unless_found.enter_context(Sources())
        if isinstance(support, str | os.PathLike):
            tree = found.opened(Path(support))
            by_label, told = class_files(tree)
            for label, files in by_label.items():
                found.add_files(tree, files, label)
            found.tell(told)
        else:
            _add_by_label(found, support)
        unless_found.pop_all()
    return found


def unlabelled(images: Image | Iterable[Image]) -> Sources:
    """Images to classify: of a folder or archive all that are in there, however deep.

    Raises TypeError for what is no image, BadData for a folder or archive without any.
    """
    with contextlib.ExitStack() as unless_found:
        found = unless_found.enter_context(Sources())
        for image in images_of(images):
            root = _holds_images(image)
            if root is None:
                found.add(image)
                continue
            tree, left_out = found.opened(root), LeftOut()
            files = list(images_among(tree.files, left_out))
            for path, kind in tree.unread:
                left_out.note(path, kind)
            if not files:
                told = left_out.listed()
                raise BadData(
                    f"expected images in {root}, got none" + (f": {told}" if told else "")
                )
            found.add_files(tree, files)
            found.tell(left_out.told(root))
        unless_found.pop_all()
    return found


def _add_by_label(found: Sources, support: Mapping[str, Image | Iterable[Image]]) -> None:
    if not isinstance(support, Mapping):
        raise TypeError(
            "expected images by label, as in {'cat': ['1.png']}, or the path of a folder or zip "
            f"archive with a folder for each class; got {type(support).__name__}"
        )
    empty = []
    for label, given in support.items():
        if not isinstance(label, str):
            raise TypeError(f"expected labels of text, got {label!r}")
        before = len(found.images)
        for image in images_of(given):
            root = _holds_images(image)
            if root is None:
                found.add(image, label)
            else:
                tree = found.opened(root)
                files, told = files_of_class(tree)
                found.add_files(tree, files, label)
                found.tell(told)
        if len(found.images) == before:
            empty.append(Problem("no_images", "expected images, got none", label))
    if empty:
        raise InvalidInput(empty)


def _holds_images(image: Image) -> Path | None:
    """The path of a folder or zip archive; None for an image."""
    if not isinstance(image, str | os.PathLike):
        return None
    path = Path(image)
    if path.is_dir():
        return path
    try:
        with path.open("rb") as file:
            return path if file.read(len(ZIP_BEGINS)) == ZIP_BEGINS else None
    except FileNotFoundError:
        return None
