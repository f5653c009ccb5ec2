"""A folder on disk as a tree of files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from ..errors import BadData
from .kinds import Kind
from .tree import HIDDEN, File, Tree, left_by_a_system

DEAD_LINK = Kind("link that leads nowhere")
CIRCLE = Kind("link to a folder around it")
NO_FILE = Kind("neither a file nor a folder")


@contextmanager
def folder_tree(root: Path) -> Iterator[Tree]:
    """What lies in a folder. Links are followed. Raises BadData for names that are not UTF-8."""
    tree = Tree(root)
    _walk(tree, root, PurePosixPath(), frozenset())
    tree.sort()
    yield tree


def _walk(
    tree: Tree, folder: Path, inside: PurePosixPath, above: frozenset[tuple[int, int]]
) -> None:
    """Add what lies in ``folder``; ``above`` are the folders around it, as devices and inodes."""
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            found = [(entry, entry.is_dir(), entry.is_file()) for entry in entries]
    except OSError as refused:
        raise _unreadable(folder, refused) from None
    own = (status.st_dev, status.st_ino)
    if own in above:
        tree.unread.append((inside, CIRCLE))
        return
    if inside.parts:
        tree.folders.append(inside)
    for entry, is_folder, is_file in found:
        if left_by_a_system(entry.name):
            continue
        path = inside / _shown(entry.name)
        if is_folder and entry.name.startswith("."):
            tree.unread.append((path, HIDDEN))
        elif is_folder:
            _check_name(tree.root, entry.name)
            _walk(tree, Path(entry.path), path, above | {own})
        elif is_file:
            first = partial(_first, Path(entry.path))
            tree.files.append(File(path, entry.stat().st_size, first))
        else:
            tree.unread.append((path, DEAD_LINK if entry.is_symlink() else NO_FILE))


def _first(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as refused:
        raise _unreadable(path, refused) from None


def _unreadable(path: Path, refused: OSError) -> BadData:
    return BadData(f"{str(path)!r} cannot be read: {refused.strerror}")


def _shown(name: str) -> str:
    """A name with its bytes that are not UTF-8 written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _check_name(root: Path, name: str) -> None:
    if _shown(name) != name:
        raise BadData(
            f"{root}: expected names of folders in UTF-8, got {os.fsencode(name)!r}; "
            "give the folder another name"
        )
