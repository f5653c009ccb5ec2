"""An image in any form in which callers hold one, as the bytes of an image file.

Pillow is imported when an array or one of its images is given, numpy never.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from .errors import BadData


class OpenFile(Protocol):
    """A file that is open in binary mode, or something like it."""

    def read(self, size: int = -1, /) -> bytes:
        """The bytes from where it stands to its end."""
        ...


class Pixels(Protocol):
    """An array of numpy's interface, or a PIL image, which has it too."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """Type, shape and place of the values."""
        ...


Image = str | os.PathLike[str] | bytes | bytearray | memoryview | OpenFile | Pixels
"""A path to an image file, its bytes, or the file, open in binary mode; or an image as pixels: a
PIL image, or an array of uint8, `(height, width)` of grey or `(height, width, 3 or 4)` of RGB or
RGBA."""
EXPECTED = (
    "a path, bytes, a file open in binary mode, a PIL image, or an array of uint8 and of "
    "(height, width), (height, width, 3) or (height, width, 4)"
)
LOSSLESS_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
"""Of PIL images, as PNG keeps them."""
COMPRESSION = 1
"""Of zlib's levels the fastest: the bytes are sent once."""


def images_of(given: Image | Iterable[Image]) -> list[Image]:
    """One image or several as a list. Raises TypeError for what is neither."""
    if _is_one(given):
        return [cast("Image", given)]
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise _not_an_image(given)
    return list(cast("Iterable[Image]", given))


def file_bytes(image: Image) -> bytes:
    """The bytes of an image file: as they are, or PNG that keeps the pixels that were given.

    A PIL image is turned as its EXIF orientation says, as a file would be.

    Raises TypeError for what is no image, a file open in text mode among it; BadData for a folder
    and for an open file without any bytes left; OSError for a file that cannot be read.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return _read(Path(image))
    if _is_pil_image(image):
        return _png(image)
    if hasattr(image, "__array_interface__"):
        return _png_of_array(image)
    if hasattr(image, "read"):
        return _rest_of(image)
    raise _not_an_image(image)


def _is_one(given: object) -> bool:
    if isinstance(given, str | bytes | bytearray | memoryview | os.PathLike):
        return True
    if _is_pil_image(given) or hasattr(given, "read"):
        return True
    # An array of paths or of other objects is several images, one of numbers a single one.
    interface = getattr(given, "__array_interface__", None)
    return interface is not None and interface["typestr"][1] not in "UO"


def _is_pil_image(image: object) -> bool:
    """Tell without importing Pillow, which who has one of its images has imported."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(image, pil.Image)


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise BadData(f"expected an image, got the folder {path}; give the paths of its images")
    return path.read_bytes()


def _rest_of(file: Any) -> bytes:
    if isinstance(file, io.TextIOBase):
        raise _not_an_image(file, "a file open in text mode: open it with open(path, 'rb')")
    content = file.read()
    if not isinstance(content, bytes):
        raise _not_an_image(file, f"one whose read() gives {type(content).__name__}")
    if not content:
        raise BadData(
            f"expected an open file with an image, got no bytes of {getattr(file, 'name', file)!r}:"
            " it is empty, or was read before"
        )
    return content


def _png(image: Any) -> bytes:
    from PIL import ImageOps

    if image.mode not in LOSSLESS_MODES:
        raise _not_an_image(image, f"a PIL image of mode {image.mode}: give image.convert('RGB')")
    file = io.BytesIO()
    ImageOps.exif_transpose(image).save(file, "PNG", compress_level=COMPRESSION)
    return file.getvalue()


def _png_of_array(array: Any) -> bytes:
    from PIL.Image import fromarray

    interface = array.__array_interface__
    shape, kind = tuple(interface["shape"]), interface["typestr"]
    pixels = len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))
    if kind != "|u1" or not pixels or 0 in shape:
        kind = getattr(array, "dtype", kind)
        raise _not_an_image(array, f"an array of {kind} and of {shape}")
    return _png(fromarray(array))


def _not_an_image(given: object, came: str | None = None) -> TypeError:
    return TypeError(f"expected {EXPECTED}; got {came or type(given).__name__}")
