"""The table of preprocessings, the one place that names them, and what each of them can do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import PIL
import torch

from .drawing import Drawing
from .photograph import Photograph
from .prepared import Prepared


class Preprocessing(Protocol):
    """From decoded images to a network's input, each image by itself; a frozen dataclass.

    Its options are a part of an initialization.
    """

    @property
    def background(self) -> torch.Tensor:
        """`(channel, 1, 1)`: the values that empty image area has in a network's input."""
        ...

    @property
    def useful_side(self) -> int | None:
        """Pixels of an image's shorter side beyond which more show it nothing more, if any."""
        ...

    def resemblance(self, rgba: torch.Tensor) -> float:
        """The log-odds that a decoded `(height, width, 4)` image is of the kind that this is for.

        By the image alone, not by what it was fitted to: alike for all of a kind.
        """
        ...

    @property
    def statistic_names(self) -> tuple[str, ...]:
        """What `statistics` tells of each image, in its order."""
        ...

    def __call__(self, rgba: torch.Tensor) -> torch.Tensor:
        """Turn `(..., height, width, 4)` uint8 RGBA into `(..., channel, height, width)` float32.

        The definition, by tensor operations that ONNX has.
        """
        ...

    def prepare(self, images: Sequence[torch.Tensor]) -> Prepared:
        """Do the same for `(height, width, 4)` images of any sizes, and describe them."""
        ...

    def statistics(self, images: torch.Tensor) -> torch.Tensor:
        """`(image, statistic)` of preprocessed images: see `Prepared`."""
        ...

    def fitted(self, images: Iterable[torch.Tensor]) -> Preprocessing:
        """The same with what it takes from training images, such as their mean and deviation.

        ``images`` are any number of `(image, channel, height, width)`, preprocessed by `self`,
        which has nothing of the kind yet.
        """
        ...

    def normalized(self, images: torch.Tensor) -> torch.Tensor:
        """Apply what `fitted` has added to images that were preprocessed without."""
        ...


@runtime_checkable
class Packing(Preprocessing, Protocol):
    """A preprocessing whose images are made of whole levels, so that bytes keep them exactly."""

    def packed(self, images: torch.Tensor) -> torch.Tensor:
        """The uint8 of preprocessed images, from which `unpacked` gives the same, bit for bit."""
        ...

    def unpacked(self, packed: torch.Tensor) -> torch.Tensor:
        """The inverse of `packed`."""
        ...


def packed(preprocessing: Preprocessing, prepared: Prepared) -> Prepared:
    """The same with images as bytes, a quarter as large, where bytes keep them exactly."""
    if prepared.images.dtype == torch.uint8 or not isinstance(preprocessing, Packing):
        return prepared
    return replace(prepared, images=preprocessing.packed(prepared.images))


def unpacked(preprocessing: Preprocessing, images: torch.Tensor) -> torch.Tensor:
    """A network's input, of images as `packed` leaves them."""
    if images.dtype != torch.uint8 or not isinstance(preprocessing, Packing):
        return images
    return preprocessing.unpacked(images)


PreprocessingKind = type[Drawing] | type[Photograph]

PREPROCESSINGS: Mapping[str, PreprocessingKind] = {"drawing": Drawing, "photograph": Photograph}


def origin(preprocessing: Preprocessing) -> str:
    """What preprocessed images depend on beside the files: options, our sources, libraries."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    versions = f"Pillow {PIL.__version__}, torch {torch.__version__}"
    return f"{preprocessing} by {digest.hexdigest()}, {versions}"
