"""A folder per class: `PATH/<class>/<image>`, or divided as `PATH/<split>/<class>/<image>`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..errors import BadData
from ..image_files import is_image
from .sources import SPLITS, EncodedClass, Split

SHARES: dict[Split, float] = {"train": 0.64, "validation": 0.16, "test": 0.20}
"""How classes are divided where folders do not say: mini-ImageNet's 64 / 16 / 20."""


def read(path: Path, split: Split, seed: int = 0) -> Iterator[EncodedClass]:
    """Yield the classes of one split; a class may have any number of images.

    Where ``path`` holds folders `train`, `validation` and `test`, these are the splits.
    Otherwise classes are dealt out in the proportions of `SHARES` by ``seed``.
    """
    if names_splits(path):
        root = path / split
        names = _class_names(root)
    else:
        root = path
        names = _dealt(_class_names(root), split, seed)
    if len(names) < 2:
        raise BadData(f"expected at least 2 classes for {split} in {root}, got {len(names)}")
    for name in names:
        yield _encoded_class(root / name)


def names_splits(path: Path) -> bool:
    """Tell whether ``path`` holds the splits as folders, so that none are dealt out."""
    return all((path / name).is_dir() for name in SPLITS)


def read_all(path: Path, most: int | None = None) -> Iterator[EncodedClass]:
    """Yield every class folder in ``path`` with the first ``most`` images of each, or all."""
    for name in _class_names(path):
        yield _encoded_class(path / name, most)


def _encoded_class(folder: Path, most: int | None = None) -> EncodedClass:
    files = [
        file
        for file in sorted(folder.iterdir())
        if file.is_file() and is_image(PurePosixPath(file.name))
    ]
    contents = tuple((file.name, file.read_bytes()) for file in files[:most])
    return EncodedClass(name=folder.name, group="", files=contents)


def _class_names(root: Path) -> list[str]:
    if not root.is_dir():
        raise BadData(f"expected a folder of class folders, got {root}")
    names = []
    for folder in sorted(entry for entry in root.iterdir() if entry.is_dir()):
        if folder.name.startswith("."):
            continue
        if any(is_image(PurePosixPath(file.name)) for file in folder.iterdir()):
            names.append(folder.name)
        elif any(entry.is_dir() for entry in folder.iterdir()):
            raise BadData(f"expected images directly in {folder}, found folders in it")
    return names


def _dealt(names: list[str], split: Split, seed: int) -> list[str]:
    shuffled = names.copy()
    random.Random(seed).shuffle(shuffled)
    n_train = round(SHARES["train"] * len(names))
    n_validation = round(SHARES["validation"] * len(names))
    held_out = shuffled[n_train:]
    dealt = {
        "train": shuffled[:n_train],
        "validation": held_out[:n_validation],
        "test": held_out[n_validation:],
    }
    return sorted(dealt[split])
