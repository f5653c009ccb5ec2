"""Image bytes to a uint8 RGBA tensor. What the pixels mean is for a preprocessing to decide.

The magic bytes decide the format, never a file name or a declared type. Limits are checked on
the header, before any pixel is decoded.
"""

from __future__ import annotations

import functools
import io
import math
import struct
import warnings

import numpy as np
import torch
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from ..errors import BadImage
from .jpeg import has_one_scan

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 25_000_000
"""Of an image that is decoded as large as it is."""
MAX_REDUCED_PIXELS = 200_000_000
"""Of a JPEG of one scan, of which no more than `MAX_PIXELS` ever lie in memory."""
MIN_SIDE = 8
MAX_SIDE_KEPT = 2048
"""Larger images are averaged down by a whole factor, which bounds the memory of what follows."""
MAX_ASPECT_RATIO = 20

ORIENTATION_TAG = 0x0112
ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIXTEEN_BIT_GREY = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def decode(content: bytes, useful_side: int | None = None) -> torch.Tensor:
    """Decode an image to `(height, width, 4)` uint8 RGBA, upright as its EXIF orientation says.

    Sixteen-bit grey is scaled to eight bits, colours of a profile become those of sRGB, and of an
    animation the first frame is taken. An image with a side of more than `MAX_SIDE_KEPT` pixels is
    averaged down below that. A JPEG is decoded at a half, quarter or eighth of its size where its
    shorter side keeps ``useful_side`` pixels, and one of more than `MAX_PIXELS` where its longer
    side keeps `MAX_SIDE_KEPT`.

    Raises BadImage for anything that is not a whole image of an accepted format and size.
    """
    image = opened(content)
    drafted(image, useful_side)
    _check_pixels(*image.size, MAX_PIXELS)
    return pixels(image)


def drafted(image: Image.Image, useful_side: int | None) -> bool:
    """Have an opened image decoded at a smaller size, as `decode` does; tell whether it will be."""
    own, scale = image.size, _useful_scale(*image.size, useful_side)
    if scale < 1:
        # Does nothing for other formats, nor where the image is not twice as large.
        image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
    return image.size != own


def told_size(content: bytes) -> tuple[int, int]:
    """Width and height as the header tells them, without opening the image where that is easy.

    Raises BadImage as `opened` does.
    """
    if content.startswith(b"\x89PNG") and content[12:16] == b"IHDR" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    return opened(content).size


def opened(content: bytes) -> Image.Image:
    """An image whose header alone was read. Raises BadImage for a wrong format or size."""
    if not content:
        raise BadImage("empty", "the file is empty (0 bytes)")
    one_scan = has_one_scan(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = _with_header(content, one_scan=one_scan)
        except UnidentifiedImageError:
            raise BadImage(
                "not_an_image", f"expected {_formats()}, got {_describe(content)}"
            ) from None
        except Image.DecompressionBombError as bomb:
            raise BadImage("too_many_pixels", f"{_limits()}: {bomb}") from None
        except (OSError, SyntaxError, ValueError, EOFError) as broken:
            raise BadImage("damaged", f"the image cannot be opened: {broken}") from None
    _check_pixels(*image.size, MAX_REDUCED_PIXELS if one_scan else MAX_PIXELS)
    _check_sides(*image.size)
    return image


def pixels(image: Image.Image) -> torch.Tensor:
    """The pixels of an opened image, as from `decode`. Raises BadImage if it is damaged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image.load()
            rgba = _to_rgba(image)
        except (OSError, SyntaxError, ValueError, EOFError, IndexError) as broken:
            raise BadImage("damaged", f"the image is truncated or damaged: {broken}") from None
    return torch.from_numpy(np.array(rgba, dtype=np.uint8))


def _with_header(content: bytes, *, one_scan: bool) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        # Pillow's own limit is below ours for a JPEG, and is not one of its decoder.
        if not one_scan:
            raise
        return JpegImageFile(io.BytesIO(content))


def _useful_scale(width: int, height: int, useful_side: int | None) -> float:
    """The scale, of 1 at most, down to which an image shows all that is looked at."""
    scales = [1.0]
    if useful_side is not None:
        scales.append(useful_side / min(width, height))
    if width * height > MAX_PIXELS:
        scales.append(MAX_SIDE_KEPT / max(width, height))
    return min(scales)


def _check_pixels(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise BadImage(
            "too_many_pixels", f"{_limits()}, got {width:,} x {height:,} = {width * height:,}"
        )


def _limits() -> str:
    return (
        f"at most {MAX_PIXELS:,} pixels accepted ({MAX_REDUCED_PIXELS:,} of a JPEG that is not "
        "progressive)"
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


def _to_rgba(image: Image.Image) -> Image.Image:
    upright = _upright(image)
    if upright.mode in _SIXTEEN_BIT_GREY:
        upright = _eight_bit(upright)
    elif upright.mode == "CMYK":
        upright = _cmyk_to_rgb(upright)
    elif upright.mode == "RGB":
        return _in_srgb(_reduced(upright), image.info.get("icc_profile")).convert("RGBA")
    return _reduced(upright.convert("RGBA"))


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF orientation says, unless that cannot be read."""
    try:
        orientation = image.getexif().get(ORIENTATION_TAG)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, EOFError, struct.error):
        orientation = None
    if not isinstance(orientation, int) or orientation not in ORIENTATIONS:
        return image
    return image.transpose(ORIENTATIONS[orientation])


def _reduced(image: Image.Image) -> Image.Image:
    factor = math.ceil(max(image.size) / MAX_SIDE_KEPT)
    return image.reduce(factor) if factor > 1 else image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale grey of up to sixteen bits by 257, so that 65,535 becomes 255 (Pillow would clip)."""
    values = np.asarray(image, dtype=np.int64)
    if values.min() < 0 or values.max() > 65_535:
        raise BadImage("unsupported_depth", "grey values beyond sixteen bits are not accepted")
    transparent = image.info.get("transparency")
    grey = Image.fromarray(np.round(values / 257).astype(np.uint8))
    if not isinstance(transparent, int):
        return grey
    alpha = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, alpha))


def _cmyk_to_rgb(image: Image.Image) -> Image.Image:
    """Convert by the image's profile; Pillow already undoes the inversion of Adobe's JPEGs."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError):
            return image.convert("RGB")
        if converted is not None:
            return converted
    return image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours as sRGB has them, of an image with the profile of another space."""
    transform = _to_srgb(profile) if profile else None
    return image if transform is None else transform.apply(image)


@functools.lru_cache(16)
def _to_srgb(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """None where a profile is sRGB's own, or cannot be read."""
    try:
        known = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(known).lower():
            return None
        return ImageCms.buildTransform(known, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def _formats() -> str:
    return ", ".join(FORMATS[:-1]) + " or " + FORMATS[-1]


def _describe(content: bytes) -> str:
    head = content[:64]
    if head.isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        return f"{len(content):,} bytes of text"
    return f"{len(content):,} bytes that start with {head[:8].hex(' ')}"
