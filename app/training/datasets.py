"""Data sets made ready for a network: read, decoded and preprocessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..data import domains, folders, omniglot
from ..data.episodes import ClassImages, Images
from ..data.image_cache import ImageCache
from ..data.sources import IN_GROUPS, ClassFiles, DataFormat, EncodedClass, Split
from ..data.stored_images import StoredImages
from ..errors import BadData, BadImage
from ..images.decode import decode
from ..images.preprocessing import Packing, Preprocessing, origin


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


def without(classes: Iterable[EncodedClass], left_out: Sequence[str]) -> Iterator[EncodedClass]:
    """The classes but for those of some names. Raises BadData for a name that none has."""
    missing = set(left_out)
    for encoded in classes:
        if encoded.name in left_out:
            missing.discard(encoded.name)
        else:
            yield encoded
    if missing:
        raise BadData(f"expected classes to leave out, found none of {', '.join(sorted(missing))}")


def for_episodes(data_format: DataFormat, classes: ClassImages) -> ClassImages:
    """The classes that held-out episodes draw from: in Vinyals' division, every rotation too."""
    return classes.with_rotations() if data_format == "vinyals" else classes


def preprocess_classes(
    classes: Iterable[EncodedClass],
    preprocessing: Preprocessing,
    data_format: DataFormat = "folders",
    cache: Path | None = None,
) -> ClassImages:
    """Decode and preprocess every image. Raises BadData that names the first bad file.

    With a folder ``cache``, images that bytes can keep exactly are looked for and left there in
    place of the memory, one class after another.
    """
    names, groups, images, files = list[str](), list[str](), list[Images](), list[ClassFiles]()
    kept = None
    if cache is not None and isinstance(preprocessing, Packing):
        kept = _CachedImages(ImageCache(cache, origin(preprocessing)), preprocessing)
    for encoded in classes:
        names.append(encoded.name)
        groups.append(encoded.group)
        images.append(_in_memory(encoded, preprocessing) if kept is None else kept.of(encoded))
        files.append(encoded.listed)
    if not names:
        raise BadData("expected at least one class of images, got none")
    in_groups = data_format in IN_GROUPS
    return ClassImages(tuple(names), tuple(groups), tuple(images), in_groups, tuple(files))


def normalized(classes: ClassImages, preprocessing: Preprocessing) -> ClassImages:
    """Apply a preprocessing's mean and deviation to classes that were preprocessed without."""
    return classes.changed(preprocessing.normalized)


def fitted(preprocessing: Preprocessing, classes: ClassImages) -> Preprocessing:
    """A preprocessing with what it takes from training classes; see `Preprocessing.fitted`."""
    return preprocessing.fitted(images[:] for images in classes.images)


@dataclass(frozen=True)
class _CachedImages:
    cache: ImageCache
    preprocessing: Packing

    def of(self, encoded: EncodedClass) -> StoredImages:
        made = self.cache.images(encoded.listed.digests, self._packed(encoded))
        return made.changed(self.preprocessing.unpacked)

    def _packed(self, encoded: EncodedClass) -> Iterator[torch.Tensor]:
        for rgba in _decoded(encoded, self.preprocessing):
            yield self.preprocessing.packed(self.preprocessing.prepare([rgba]).images[0])


def _in_memory(encoded: EncodedClass, preprocessing: Preprocessing) -> torch.Tensor:
    return torch.cat([preprocessing.prepare([r]).images for r in _decoded(encoded, preprocessing)])


def _decoded(encoded: EncodedClass, preprocessing: Preprocessing) -> Iterator[torch.Tensor]:
    for file_name, content in encoded.files:
        try:
            yield decode(content, preprocessing.useful_side)
        except BadImage as bad:
            raise BadData(f"{encoded.name}/{file_name}: {bad}") from None
