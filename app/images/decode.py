"""Image bytes to a uint8 RGBA tensor. What the pixels mean is for a preprocessing to decide.

The first bytes decide the format, never a file name or a declared type. Limits are checked on
the header, before any pixel is decoded.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ..errors import BadImage
from . import bmp, gif, jpeg, png, webp
from .encoded import Encoded, cut_off, damaged
from .kinds import described
from .profile import in_srgb
from .shown import dimness, make_opaque_if_transparent, shown_levels

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 25_000_000
"""Of an image that is decoded as large as it is."""
MAX_REDUCED_PIXELS = 200_000_000
"""Of a JPEG of one scan, of which no more than `MAX_PIXELS` ever lie in memory."""
MAX_WEBP_PIXELS = 14_745_600
"""Of a WebP, which is decoded in four copies."""
QUICK_PIXELS, QUICK_BYTES = 1 << 18, 8 << 20
"""Of an image that is decoded in about a millisecond: of itself, and of memory."""
MIN_SIDE = 8
MAX_SIDE_KEPT = 2048
"""Larger images are averaged down by a whole factor, which bounds the memory of what follows."""
MAX_ASPECT_RATIO = 20
CONVERTED_BYTES, PREPARED_BYTES = 8, 28
"""Of a pixel that is kept: beside the stored image, and afterwards where it is prepared."""
STRIP_PIXELS = 1 << 20
"""Of a larger image, that are turned, converted and averaged at once."""

Stopped = Callable[[], bool]

OPENERS: Mapping[str, Callable[[io.BytesIO], ImageFile]] = {
    png.KIND: PngImageFile,
    jpeg.KIND: JpegImageFile,
    webp.KIND: WebPImageFile,
    gif.KIND: GifImageFile,
    bmp.KIND: BmpImageFile,
}
ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS, ROWS_FROM_THE_END = (5, 6, 7, 8), (3, 4, 7, 8)
"""Orientations whose rows are columns of the stored image, and those whose first is its last."""
SCALES = (8, 4, 2)
"""By which a JPEG can be decoded smaller."""
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What the decoders raise for files that are not sound."""


class DecodingStopped(Exception):
    """Nobody waits for the pixels of an image any more."""


class _Stoppable(io.BytesIO):
    """A file that decoders read piece by piece, until they are to stop."""

    def __init__(self, content: bytes, stopped: Stopped) -> None:
        super().__init__(content)
        self._stopped = stopped

    def read(self, size: int | None = -1) -> bytes:
        """See `io.BytesIO`. Raises DecodingStopped."""
        if self._stopped():
            raise DecodingStopped
        return super().read(size)


def _never() -> bool:
    return False


def decode(content: bytes, useful_side: int | None = None) -> torch.Tensor:
    """Decode an image to `(height, width, 4)` uint8 RGBA, upright as its EXIF orientation says.

    Sixteen-bit grey is scaled to eight bits, colours of a profile become those of sRGB, and of an
    animation the first frame is taken. An image with a side of more than `MAX_SIDE_KEPT` pixels is
    averaged down below that. A JPEG is decoded at a half, quarter or eighth of its size where its
    shorter side keeps ``useful_side`` pixels, and one of more than `MAX_PIXELS` where its longer
    side keeps `MAX_SIDE_KEPT`. What nobody could see is shown: see `shown`.

    Raises BadImage for anything that is not a whole image of an accepted format and size.
    """
    return pixels(read(content), useful_side)


def read(content: bytes) -> Encoded:
    """Read an image's header. Raises BadImage for a wrong format or size."""
    encoded = _read(content)
    _check_pixels(encoded)
    _check_sides(encoded.width, encoded.height)
    return encoded


def is_quick(content: bytes) -> bool:
    """Whether an image is decoded in about a millisecond, by its header.

    Raises BadImage as `read` does, but for what is not looked at.
    """
    if content.startswith(png.SIGNATURE) and content[12:16] == b"IHDR" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        n_pixels: int = width * height
        return 0 < n_pixels <= QUICK_PIXELS
    encoded = read(content)
    return encoded.n_pixels <= QUICK_PIXELS and decoding_bytes(encoded) <= QUICK_BYTES


def decoding_bytes(encoded: Encoded, useful_side: int | None = None) -> int:
    """The most memory that decoding an image and making it a network's input takes."""
    scale = scale_of(encoded, useful_side)
    n_decoded = encoded.n_pixels // scale**2
    n_kept = min(n_decoded, MAX_SIDE_KEPT**2)
    working = int(encoded.working_bytes * encoded.n_pixels)
    decoding = encoded.stored_bytes * n_decoded + working + CONVERTED_BYTES * n_kept
    return len(encoded.content) + max(decoding, PREPARED_BYTES * n_kept)


def scale_of(encoded: Encoded, useful_side: int | None) -> int:
    """By which whole number the sides of a JPEG are divided when it is decoded; 1 of others."""
    if encoded.kind != jpeg.KIND:
        return 1
    width, height = _wanted(encoded, useful_side)
    most = min(encoded.width // width, encoded.height // height)
    return next((scale for scale in SCALES if most >= scale), 1)


def pixels(
    encoded: Encoded, useful_side: int | None = None, stopped: Stopped = _never
) -> torch.Tensor:
    """The pixels of an image whose header was read, as from `decode`.

    Raises BadImage if it is damaged, and DecodingStopped soon after ``stopped`` tells so.
    """
    if encoded.n_pixels // scale_of(encoded, useful_side) ** 2 > MAX_PIXELS:
        raise _too_many_pixels(encoded)
    try:
        # What a decoder warns of is no harm to what it decodes.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _loaded(encoded, useful_side, stopped)
        return torch.from_numpy(_rgba(image, encoded, stopped))
    except BROKEN:
        if not encoded.ends:
            raise cut_off(encoded.kind) from None
        raise damaged(encoded.kind, "its pixels cannot be decoded") from None


def _read(content: bytes) -> Encoded:
    if not content:
        raise BadImage("empty", "the file is empty (0 bytes)")
    if content.startswith(jpeg.SIGNATURE):
        return jpeg.read_jpeg(content)
    if content.startswith(png.SIGNATURE):
        return png.read_png(content)
    if webp.is_webp(content):
        return webp.read_webp(content)
    if content.startswith(gif.SIGNATURES):
        return gif.read_gif(content)
    if bmp.is_bmp(content):
        return bmp.read_bmp(content)
    raise BadImage("not_an_image", f"expected {_formats()}, got {described(content)}")


def _loaded(encoded: Encoded, useful_side: int | None, stopped: Stopped) -> ImageFile:
    image = OPENERS[encoded.kind](_Stoppable(encoded.content, stopped))
    if image.size != (encoded.width, encoded.height):
        raise damaged(encoded.kind, "it tells its size twice, in different ways")
    if scale_of(encoded, useful_side) > 1:
        image.draft(None, _wanted(encoded, useful_side))
    image.load()
    return image


def _wanted(encoded: Encoded, useful_side: int | None) -> tuple[int, int]:
    """The width and height down to which an image shows all that is looked at."""
    width, height = encoded.width, encoded.height
    scale = 1.0
    if useful_side is not None:
        scale = min(scale, useful_side / min(width, height))
    if encoded.n_pixels > MAX_PIXELS:
        scale = min(scale, MAX_SIDE_KEPT / max(width, height))
    return math.ceil(width * scale), math.ceil(height * scale)


def _check_pixels(encoded: Encoded) -> None:
    most = {webp.KIND: MAX_WEBP_PIXELS}.get(encoded.kind, MAX_PIXELS)
    if encoded.n_pixels > (MAX_REDUCED_PIXELS if encoded.one_scan else most):
        raise _too_many_pixels(encoded)


def _too_many_pixels(encoded: Encoded) -> BadImage:
    return BadImage(
        "too_many_pixels",
        f"at most {MAX_PIXELS:,} pixels accepted ({MAX_REDUCED_PIXELS:,} of a JPEG that is not "
        f"progressive, {MAX_WEBP_PIXELS:,} of a WEBP), got {encoded.width:,} x "
        f"{encoded.height:,} = {encoded.n_pixels:,}",
    )


def _check_sides(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise BadImage(
            "too_small", f"at least {MIN_SIDE} pixels a side accepted, got {width} x {height}"
        )
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise BadImage(
            "too_narrow",
            f"sides may differ by a factor of {MAX_ASPECT_RATIO} at most, got {width} x {height}",
        )


def _rgba(image: ImageFile, encoded: Encoded, stopped: Stopped) -> NDArray[np.uint8]:
    """`(height, width, 4)`: upright, in sRGB, and no side larger than `MAX_SIDE_KEPT`.

    A larger image is converted in strips, so that it lies in memory once.
    """
    make_opaque_if_transparent(image)
    dim = None if encoded.kind in (jpeg.KIND, webp.KIND) else dimness(image)
    factor = math.ceil(max(image.size) / MAX_SIDE_KEPT)

    def converted(strip: Image.Image) -> NDArray[np.uint8]:
        levels = shown_levels(_turned(strip, encoded.orientation), dim)
        return np.array(_averaged(levels, encoded.profile, factor), dtype=np.uint8)

    if factor == 1:
        return converted(image)
    width, height = image.size[::-1] if encoded.orientation in SIDEWAYS else image.size
    rgba = np.empty((-(-height // factor), -(-width // factor), 4), np.uint8)
    for begin, end in _strips(width, height, factor):
        if stopped():
            raise DecodingStopped
        strip = converted(image.crop(_stored_box(image.size, encoded.orientation, begin, end)))
        rgba[begin // factor : begin // factor + len(strip)] = strip
    return rgba


def _strips(width: int, height: int, factor: int) -> Iterator[tuple[int, int]]:
    """First row and end of strips of `STRIP_PIXELS`, each of whole averages."""
    rows = factor * max(1, STRIP_PIXELS // (width * factor))
    for begin in range(0, height, rows):
        yield begin, min(begin + rows, height)


def _stored_box(
    size: tuple[int, int], orientation: int, begin: int, end: int
) -> tuple[int, int, int, int]:
    """Where rows of an upright image are stored: left, top, right and bottom."""
    width, height = size
    length = width if orientation in SIDEWAYS else height
    if orientation in ROWS_FROM_THE_END:
        begin, end = length - end, length - begin
    return (begin, 0, end, height) if orientation in SIDEWAYS else (0, begin, width, end)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = ORIENTATIONS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _averaged(image: Image.Image, profile: bytes | None, factor: int) -> Image.Image:
    """RGBA, averaged down by a whole factor.

    Colours of a profile are changed where they are fewer: of RGB once averaged.
    """
    if image.mode == "RGB":
        reduced = image.reduce(factor) if factor > 1 else image
        return in_srgb(reduced, profile).convert("RGBA")
    if image.mode == "CMYK":
        image = in_srgb(image, profile).convert("RGB")
    rgba = image.convert("RGBA")
    return rgba.reduce(factor) if factor > 1 else rgba


def _formats() -> str:
    return ", ".join(FORMATS[:-1]) + " or " + FORMATS[-1]
