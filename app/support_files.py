"""A folder or zip archive with a folder per class, as a support set."""

from __future__ import annotations

import warnings
from pathlib import Path

from .errors import BadData
from .files.classes import TOP, folders_in, images_by_class, within
from .files.images import opened
from .files.left_out import FilesLeftOut, LeftOut
from .files.tree import File, Tree

MAX_FILES = 10_000
MAX_BYTES = 512 * 2**20
"""Of all images together, unpacked, that are read at once."""


def support_of(path: str | Path) -> dict[str, list[bytes]]:
    """Images by the name of the folder that they lie in, directly.

    Class folders lie in ``path``, or in the one folder that is in there. What is an image is seen
    from its content. All that is left out is told by a warning, `FilesLeftOut`, but for what
    operating systems leave in folders.

    Raises BadData for a path that is neither a folder nor a zip archive, for class folders without
    images or with names of one label, for an archive that is not sound (see `archive_tree`), and
    for more than the bounds of this module.
    """
    root = Path(path)
    with opened(root) as tree:
        by_label, told = class_files(tree)
        files = [file for files in by_label.values() for file in files]
        total = sum(file.size for file in files)
        if total > MAX_BYTES:
            raise BadData(
                f"{root}: expected images of at most {MAX_BYTES:,} bytes together, got {total:,} "
                f"in {len(files):,}"
            )
        support = {label: [file.content() for file in files] for label, files in by_label.items()}
    if told is not None:
        warnings.warn(told, FilesLeftOut, stacklevel=2)
    return support


def class_files(tree: Tree) -> tuple[dict[str, list[File]], str | None]:
    """The files of the images of each class, and what is told of files that were left out.

    Raises as `support_of` does, but does not read the files nor count their bytes.
    """
    left_out, base = LeftOut(), TOP
    while (inside := within(tree, base)) != base:
        base = inside
    folders = folders_in(tree, base)
    if not folders:
        raise BadData(f"{tree.root}: expected images in a folder for each class, got no folder")
    by_folder = images_by_class(tree, folders, left_out)
    _check_number(tree, sum(map(len, by_folder.values())))
    by_label = {folder.name: files for folder, files in by_folder.items()}
    return by_label, left_out.told(tree.root)


def files_of_class(tree: Tree) -> tuple[list[File], str | None]:
    """The images that lie directly in the folder of one class, and what is told of the others."""
    left_out = LeftOut()
    files = images_by_class(tree, [TOP], left_out)[TOP]
    _check_number(tree, len(files))
    return files, left_out.told(tree.root)


def _check_number(tree: Tree, found: int) -> None:
    if found > MAX_FILES:
        raise BadData(f"{tree.root}: expected at most {MAX_FILES:,} images, got {found:,}")
