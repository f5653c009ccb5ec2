"""The rule of class folders, for data sets and for the client.

An image counts when it lies directly in a class folder. All other images and files are left out and
told. A class folder without an image is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath

from ..errors import BadData
from .images import images_among
from .kinds import Kind, is_image
from .left_out import LeftOut
from .tree import File, Tree

TOP = PurePosixPath()
OUTSIDE = Kind("image outside of class folders")
TOO_DEEP = Kind("image in a folder inside a class folder", "move it into the class folder")


def folders_in(tree: Tree, base: PurePosixPath = TOP) -> list[PurePosixPath]:
    """The folders that lie directly in ``base``."""
    return [folder for folder in tree.folders if folder.parent == base and folder != base]


def holds_folders_alone(tree: Tree, base: PurePosixPath) -> bool:
    """Tell whether a folder has folders and no image directly in it."""
    return bool(folders_in(tree, base)) and not any(
        is_image(file.head()) and not file.hidden for file in tree.files if file.path.parent == base
    )


def within(tree: Tree, base: PurePosixPath = TOP) -> PurePosixPath:
    """The folder that lies alone in ``base`` and is around folders, or ``base``.

    So archives are made of a folder, and folders unpacked into one of their own name.
    """
    inside = folders_in(tree, base)
    alone = len(inside) == 1 and holds_folders_alone(tree, base)
    return inside[0] if alone and holds_folders_alone(tree, inside[0]) else base


def images_by_class(
    tree: Tree, folders: Collection[PurePosixPath], left_out: LeftOut
) -> dict[PurePosixPath, list[File]]:
    """The images of each class folder, in order of their names, which are not yet read.

    ``folders`` lie in one folder. What else is in them, or beside them, is noted in ``left_out``.
    Raises BadData for a folder without images, and for folders whose names are the same label.
    """
    check_names(tree, folders)
    by_folder: dict[PurePosixPath, list[File]] = {folder: [] for folder in folders}
    bases = {folder.parent for folder in folders}
    concerned = [
        file
        for file in tree.files
        if file.path.parent in bases or any(f in by_folder for f in file.path.parents)
    ]
    for image in images_among(concerned, left_out):
        if image.path.parent in by_folder:
            by_folder[image.path.parent].append(image)
        else:
            left_out.note(image.path, OUTSIDE if image.path.parent in bases else TOO_DEEP)
    for path, kind in tree.unread:
        if path.parent in bases or any(parent in by_folder for parent in path.parents):
            left_out.note(path, kind)
    check_filled(tree, by_folder, left_out)
    return by_folder


def check_filled(
    tree: Tree, by_folder: Mapping[PurePosixPath, Collection[object]], left_out: LeftOut
) -> None:
    """Raise BadData when a folder has nothing."""
    empty = [folder for folder, images in by_folder.items() if not images]
    if not empty:
        return
    first = "it" if empty[0] == TOP else repr(str(empty[0]))
    more = f" and {len(empty) - 1:,} more" if len(empty) > 1 else ""
    listed = left_out.listed(empty[0])
    raise BadData(
        f"{tree.root}: expected images in every class folder, got none in {first}{more}"
        + (f": {listed}" if listed else "")
    )


def check_names(tree: Tree, folders: Iterable[PurePosixPath]) -> None:
    """Raise BadData when two folders have names that a server takes for one label."""
    seen: dict[str, PurePosixPath] = {}
    for folder in folders:
        label = unicodedata.normalize("NFC", folder.name).strip()
        if label in seen:
            raise BadData(
                f"{tree.root}: expected folders of different names, got {str(seen[label])!r} and "
                f"{str(folder)!r}, which are one label"
            )
        seen[label] = folder
