"""The images of a class in a file of bytes, mapped into memory when some of them are asked for.

The file has the bytes of `(image, channel, height, width)`, then these four numbers, then a
checksum (CRC-32) of all before it; numbers are little-endian, of 32 bits. It is mapped anew each
time and let go once images are copied: what was read before takes no memory of the process, and no
file stays open.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..errors import BadData

Change = Callable[[torch.Tensor], torch.Tensor]
SHAPE, CHECKSUM = struct.Struct("<4I"), struct.Struct("<I")
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class StoredImages:
    """`(image, channel, height, width)` uint8 of a file, changed whenever they are asked for.

    A change gives an image for each that it takes, whatever the others.
    """

    path: Path
    shape: tuple[int, int, int, int]
    changes: tuple[Change, ...] = ()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice | list[int]) -> torch.Tensor:
        """One image, or `(image, ...)`. Raises BadData when the file has gone."""
        if isinstance(index, int):
            return self[[index]][0]
        try:
            mapped = np.memmap(self.path, np.uint8, "r", shape=self.shape)
        except (OSError, ValueError) as lost:
            raise BadData(f"{self.path}: expected stored images, lost while used: {lost}") from None
        images = torch.from_numpy(np.array(mapped[index]))
        for change in self.changes:
            images = change(images)
        return images

    def changed(self, change: Change) -> StoredImages:
        """The same with one more change after the others."""
        return replace(self, changes=(*self.changes, change))


def write_images(path: Path, images: Iterable[torch.Tensor]) -> None:
    """Write a file of one or more `(channel, height, width)` uint8, holding one at a time."""
    count = checksum = 0
    shape: tuple[int, ...] = ()
    with path.open("wb") as file:
        for image in images:
            content, shape = image.numpy().tobytes(), tuple(image.shape)
            file.write(content)
            checksum, count = zlib.crc32(content, checksum), count + 1
        end = SHAPE.pack(count, *shape)
        file.write(end + CHECKSUM.pack(zlib.crc32(end, checksum)))


def find_images(path: Path) -> StoredImages | None:
    """The images of a file; None when it is missing or damaged."""
    try:
        with path.open("rb") as file:
            length = path.stat().st_size - CHECKSUM.size
            file.seek(length - SHAPE.size)
            n_images, channels, height, width = shape = SHAPE.unpack(file.read(SHAPE.size))
            if math.prod(shape) != length - SHAPE.size:
                return None
            file.seek(0)
            checksum = 0
            for begin in range(0, length, CHUNK_BYTES):
                part = file.read(min(CHUNK_BYTES, length - begin))
                checksum = zlib.crc32(part, checksum)
            whole = file.read() == CHECKSUM.pack(checksum)
    except (OSError, ValueError, struct.error):
        return None
    return StoredImages(path, (n_images, channels, height, width)) if whole else None
