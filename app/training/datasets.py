"""Data sets made ready for a network: read, decoded and preprocessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from ..data import domains, folders, omniglot
from ..data.episodes import ClassImages
from ..data.sources import IN_GROUPS, DataFormat, EncodedClass, Split
from ..errors import BadData, BadImage
from ..images.decode import decode
from ..images.preprocessing import Preprocessing


def read_split(
    data_format: DataFormat, path: Path, split: Split, validation_groups: list[str]
) -> Iterator[EncodedClass]:
    """Yield the encoded classes of one split.

    Omniglot's test split is its evaluation part; its validation split the alphabets of the
    background part that are ``validation_groups``, and its training split the others. "vinyals" is
    Omniglot in Vinyals' division.
    """
    if data_format == "folders":
        yield from folders.read(path, split)
    elif data_format == "domains":
        yield from domains.read(path, split)
    elif data_format == "vinyals":
        yield from omniglot.read_vinyals(path, split)
    elif split == "test":
        yield from omniglot.read(path, "evaluation")
    else:
        for character in omniglot.read(path, "background"):
            if (character.group in validation_groups) == (split == "validation"):
                yield character


def for_episodes(data_format: DataFormat, classes: ClassImages) -> ClassImages:
    """The classes that held-out episodes draw from: in Vinyals' division, every rotation too."""
    return classes.with_rotations() if data_format == "vinyals" else classes


def preprocess_classes(
    classes: Iterable[EncodedClass],
    preprocessing: Preprocessing,
    data_format: DataFormat = "folders",
) -> ClassImages:
    """Decode and preprocess every image. Raises BadData that names the first bad file."""
    names, groups, images = [], [], []
    for encoded in classes:
        names.append(encoded.name)
        groups.append(encoded.group)
        images.append(
            preprocessing.prepare(
                [_image(encoded, *file, preprocessing.useful_side) for file in encoded.files]
            ).images
        )
    if not names:
        raise BadData("expected at least one class of images, got none")
    return ClassImages(tuple(names), tuple(groups), tuple(images), data_format in IN_GROUPS)


def normalized(classes: ClassImages, preprocessing: Preprocessing) -> ClassImages:
    """Apply a preprocessing's mean and deviation to classes that were preprocessed without."""
    return replace(classes, images=tuple(map(preprocessing.normalized, classes.images)))


def _image(
    encoded: EncodedClass, file_name: str, content: bytes, useful_side: int | None
) -> torch.Tensor:
    try:
        return decode(content, useful_side)
    except BadImage as bad:
        raise BadData(f"{encoded.name}/{file_name}: {bad}") from None
