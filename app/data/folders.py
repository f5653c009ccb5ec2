"""A folder per class: `PATH/<class>/<image>`, or divided as `PATH/<split>/<class>/<image>`.

`PATH` is a folder or a zip archive, and there may be one folder in it that is around all of this.
What counts as an image of a class, and what is left out and told, is the rule of `files.classes`.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ..errors import BadData
from ..files.classes import TOP, folders_in, holds_folders_alone, images_by_class, within
from ..files.images import opened
from ..files.kinds import Kind
from ..files.left_out import FilesLeftOut, LeftOut
from ..files.tree import Tree
from .sources import SPLIT_NAMES, SPLITS, EncodedClass, Split, split_named

SHARES: dict[Split, float] = {"train": 0.64, "validation": 0.16, "test": 0.20}
"""How classes are divided where folders do not say: mini-ImageNet's 64 / 16 / 20."""
NO_SPLIT = Kind("folder beside those of splits")


def read(path: Path, split: Split, seed: int = 0) -> Iterator[EncodedClass]:
    """Yield the classes of one split; a class may have any number of images.

    Folders that are named after splits and hold class folders are the splits, and then one of
    ``split`` must be among them. Otherwise classes are dealt out in the proportions of `SHARES` by
    ``seed``. Files that are left out are told by a warning, `FilesLeftOut`.
    """
    left_out = LeftOut()
    with opened(path) as tree:
        base, splits = _base(tree)
        if splits:
            for folder in set(folders_in(tree, base)) - set(splits):
                left_out.note(folder, NO_SPLIT)
            base = _of(split, splits, tree)
            folders = folders_in(tree, base)
        else:
            folders = _dealt(folders_in(tree, base), split, seed)
        if len(folders) < 2:
            raise BadData(
                f"expected at least 2 classes for {split} in {path / base}, got {len(folders)}"
            )
        yield from _classes(tree, folders, left_out)


def names_splits(path: Path) -> bool:
    """Tell whether ``path`` holds splits as folders, so that none are dealt out."""
    with opened(path) as tree:
        return bool(_base(tree)[1])


def read_all(path: Path, most: int | None = None) -> Iterator[EncodedClass]:
    """Yield every class folder in ``path`` with the first ``most`` images of each, or all."""
    with opened(path) as tree:
        base, _ = _base(tree)
        if not (folders := folders_in(tree, base)):
            raise BadData(f"expected a folder of class folders, got {path}")
        yield from _classes(tree, folders, LeftOut(), most)


def _classes(
    tree: Tree, folders: Sequence[PurePosixPath], left_out: LeftOut, most: int | None = None
) -> Iterator[EncodedClass]:
    images = images_by_class(tree, folders, left_out)
    if told := left_out.told(tree.root):
        warnings.warn(told, FilesLeftOut, stacklevel=2)
    for folder, files in images.items():
        contents = tuple((file.path.name, file.content()) for file in files[:most])
        yield EncodedClass(name=folder.name, group="", files=contents)


def _base(tree: Tree) -> tuple[PurePosixPath, dict[PurePosixPath, Split]]:
    """The folder that is around the splits, with these, or around all classes."""
    base = TOP
    while not (splits := _splits(tree, base)) and (inside := within(tree, base)) != base:
        base = inside
    return base, splits


def _splits(tree: Tree, base: PurePosixPath) -> dict[PurePosixPath, Split]:
    """The folders in ``base`` that are named after splits, if one of them holds folders alone."""
    named = {
        folder: split
        for folder in folders_in(tree, base)
        if (split := split_named(folder.name)) is not None
    }
    return named if any(holds_folders_alone(tree, folder) for folder in named) else {}


def _of(split: Split, splits: dict[PurePosixPath, Split], tree: Tree) -> PurePosixPath:
    """The one folder of a split."""
    found = [folder for folder, own in splits.items() if own == split]
    if len(found) == 1:
        return found[0]
    expected = ", ".join(SPLITS)
    came = ", ".join(folder.name for folder in splits)
    names = " or ".join(SPLIT_NAMES[split])
    raise BadData(
        f"{tree.root}: expected folders {expected}, with one for {split} ({names}), got {came}"
    )


def _dealt(folders: list[PurePosixPath], split: Split, seed: int) -> list[PurePosixPath]:
    shuffled = folders.copy()
    random.Random(seed).shuffle(shuffled)
    n_train = round(SHARES["train"] * len(folders))
    n_validation = round(SHARES["validation"] * len(folders))
    held_out = shuffled[n_train:]
    dealt = {
        "train": shuffled[:n_train],
        "validation": held_out[:n_validation],
        "test": held_out[n_validation:],
    }
    return sorted(dealt[split])
