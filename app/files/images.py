"""The images in a folder or a zip archive, told by their content."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from ..errors import BadData
from .archive import archive_tree
from .folder import folder_tree
from .kinds import HEAD_BYTES, is_image, kind_of
from .left_out import LeftOut
from .tree import HIDDEN, File, Tree


def opened(root: Path) -> AbstractContextManager[Tree]:
    """The files in a folder or a zip archive.

    Raises BadData for a path that is neither, and as `folder_tree` and `archive_tree` do.
    """
    if root.is_dir():
        return folder_tree(root)
    if zipfile.is_zipfile(root):
        return archive_tree(root)
    raise BadData(f"expected a folder or a zip archive, got {root}, which is {_came(root)}")


def images_among(files: Iterable[File], left_out: LeftOut) -> Iterator[File]:
    """Those of the files that are images and not hidden; others are noted in ``left_out``.

    Hidden files that are no images are nobody's data, and not noted.
    """
    for file in files:
        head = file.head()
        if not is_image(head):
            if not file.hidden:
                left_out.note(file.path, kind_of(head))
        elif file.hidden:
            left_out.note(file.path, HIDDEN)
        else:
            yield file


def _came(root: Path) -> str:
    try:
        with root.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        return "not there"
    except OSError as refused:
        return f"not readable ({refused.strerror})"
    if is_image(head):
        return "an image"
    if head.startswith(b"PK\3\4"):
        return "a zip archive that was not copied to its end"
    return f"a file: {kind_of(head).name}"
