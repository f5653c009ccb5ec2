"""A folder or zip archive with a folder per class, as a support set for the client."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from .errors import BadData
from .files.classes import TOP, folders_in, images_by_class, within
from .files.images import opened
from .files.left_out import FilesLeftOut, LeftOut
from .files.tree import File

MAX_FILES = 10_000
MAX_BYTES = 512 * 2**20
"""Of all images together, unpacked."""


def support_of(path: str | Path) -> dict[str, list[bytes]]:
    """Images by the name of the folder that they lie in, directly.

    Class folders lie in ``path``, or in the one folder that is in there. What is an image is seen
    from its content. All that is left out is told by a warning, `FilesLeftOut`, but for what
    operating systems leave in folders.

    Raises BadData for a path that is neither a folder nor a zip archive, for class folders without
    images or with names of one label, for an archive that is not sound (see `archive_tree`), and
    for more than the bounds of this module.
    """
    support, told = read_support(Path(path))
    if told is not None:
        warnings.warn(told, FilesLeftOut, stacklevel=2)
    return support


def read_support(root: Path) -> tuple[dict[str, list[bytes]], str | None]:
    """The support set of `support_of`, and what is told of files that were left out."""
    left_out = LeftOut()
    with opened(root) as tree:
        base = TOP
        while (inside := within(tree, base)) != base:
            base = inside
        folders = folders_in(tree, base)
        if not folders:
            raise BadData(f"{root}: expected images in a folder for each class, got no folder")
        images = images_by_class(tree, folders, left_out)
        _check_bounds(root, [file for files in images.values() for file in files])
        support = {
            folder.name: [file.content() for file in files] for folder, files in images.items()
        }
    return support, left_out.told(root)


def read_images(folder: Path) -> tuple[list[bytes], str | None]:
    """The images that lie directly in the folder of one class, and what is told of the others."""
    left_out = LeftOut()
    with opened(folder) as tree:
        files = images_by_class(tree, [TOP], left_out)[TOP]
        _check_bounds(folder, files)
        images = [file.content() for file in files]
    return images, left_out.told(folder)


def _check_bounds(root: Path, files: Sequence[File]) -> None:
    total = sum(file.size for file in files)
    if len(files) > MAX_FILES or total > MAX_BYTES:
        raise BadData(
            f"{root}: expected at most {MAX_FILES:,} images of {MAX_BYTES:,} bytes together, "
            f"got {len(files):,} of {total:,}"
        )
