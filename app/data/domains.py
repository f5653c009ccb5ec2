"""Photographs of many domains: `PATH/<split>/<domain>/<class>/<image>`.

A split may be a zip archive `<split>.zip`, whose name may have something in front; its paths
begin with the domain, or with one folder around all of them. Classes of a domain are told apart
from each other, never from those of another domain: a domain is the group of its classes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from ..errors import BadData
from ..files.classes import check_filled
from ..files.images import images_among, opened
from ..files.left_out import FilesLeftOut, LeftOut
from ..files.tree import File, Tree
from .sources import SPLIT_NAMES, EncodedClass, Split, grouped, split_named

DEPTH = 3
"""Domain, class and file."""


def read(path: Path, split: Split) -> Iterator[EncodedClass]:
    """Yield the classes of one split, named `<domain>/<class>`, in order.

    Files that are left out are told by a warning, `FilesLeftOut`. Raises BadData when there is no
    such split, when an image lies elsewhere than in a class of a domain, and for a folder of a
    class, or domain, without images.
    """
    root, left_out = _find(path, split), LeftOut()
    with opened(root) as tree:
        images = list(images_among(tree.files, left_out))
        for unread, kind in tree.unread:
            left_out.note(unread, kind)
        around = _checked(tree, images, left_out)
        if told := left_out.told(root):
            warnings.warn(told, FilesLeftOut, stacklevel=2)
        yield from grouped(((image.path, image.content()) for image in images), around)


def _checked(tree: Tree, images: list[File], left_out: LeftOut) -> int:
    """How many folders are around all domains: 0 or 1. Raises BadData for another layout."""
    if not images:
        listed = left_out.listed()
        raise BadData(
            f"expected images in {tree.root}, found none" + (f": {listed}" if listed else "")
        )
    around = len(images[0].path.parts) - DEPTH
    for image in images:
        if around not in (0, 1) or len(image.path.parts) != DEPTH + around:
            raise BadData(f"{tree.root}: expected <domain>/<class>/<image>, got {image.path}")
    filled = {folder for image in images for folder in image.path.parents}
    check_filled(
        tree,
        {
            folder: [folder] if folder in filled else []
            for folder in tree.folders
            if len(folder.parts) < DEPTH + around
        },
        left_out,
    )
    return around


def _find(path: Path, split: Split) -> Path:
    """The folder of a split, else its archive. Raises BadData for none, and for several."""
    entries = sorted(path.iterdir()) if path.is_dir() else []
    named = re.compile(rf"(.*[^a-z])?({'|'.join(SPLIT_NAMES[split])})\.zip", re.IGNORECASE)
    folders = [entry for entry in entries if entry.is_dir() and split_named(entry.name) == split]
    archives = [entry for entry in entries if named.fullmatch(entry.name)]
    found = folders or archives
    if len(found) == 1:
        return found[0]
    names = " or ".join(SPLIT_NAMES[split])
    came = ", ".join(entry.name for entry in found or entries[:5]) or "neither"
    raise BadData(
        f"expected a folder {split} or an archive {split}.zip in {path} "
        f"(named {names}, in any case), got {came}"
    )
