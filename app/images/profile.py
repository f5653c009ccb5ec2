"""Colours of a profile (ICC.1) to those of sRGB, in a bounded time."""

from __future__ import annotations

import functools
import io
import math
import struct

from PIL import Image, ImageCms

HEADER_BYTES, TAG_BYTES, MAX_TAGS = 128, 12, 100
TABLE_BYTES = {b"mft1": 1, b"mft2": 2}
"""Of an entry, by the kind of a table."""
STEPS_WITH_TABLE, FREE_STEPS = (b"mAB ", b"mBA "), b"mpet"
MAX_STEPS_BYTES = 1 << 12
"""Of a tag of free steps, each of which is gone through for each entry of a table."""
KEPT_PROFILE_BYTES = 1 << 16
"""Of a profile whose transform is kept for the next image: cameras have smaller ones."""


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An RGB or CMYK image with colours as sRGB has them.

    As it is where there is no profile, or it is sRGB's own or of other colours, or cannot be read.
    """
    if not profile:
        return image
    made = _kept_transform if len(profile) <= KEPT_PROFILE_BYTES else _transform
    transform = made(profile, image.mode)
    return image if transform is None else transform.apply(image)


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    if not _is_sound(profile):
        return None
    try:
        known = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode == "RGB" and "srgb" in ImageCms.getProfileDescription(known).lower():
            return None
        return ImageCms.buildTransform(known, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


_kept_transform = functools.lru_cache(16)(_transform)


def _is_sound(profile: bytes) -> bool:
    """Whether the tables of a profile are no larger than itself, and its steps are few."""
    try:
        (count,) = struct.unpack_from(">I", profile, HEADER_BYTES)
        if count > MAX_TAGS:
            return False
        places = (HEADER_BYTES + 4 + TAG_BYTES * number for number in range(count))
        tags = [struct.unpack_from(">4sII", profile, place) for place in places]
        return all(_tag_is_sound(profile[at : at + length]) for _, at, length in tags)
    except struct.error:
        return False


def _tag_is_sound(tag: bytes) -> bool:
    kind = tag[:4]
    if kind in TABLE_BYTES:
        inputs, outputs, points = struct.unpack_from("3B", tag, 8)
        n_bytes: int = TABLE_BYTES[kind] * outputs * points**inputs
        return n_bytes <= len(tag)
    if kind in STEPS_WITH_TABLE:
        inputs, outputs = struct.unpack_from("2B", tag, 8)
        (at,) = struct.unpack_from(">I", tag, 24)
        return not at or outputs * math.prod(tag[at : at + inputs]) <= len(tag)
    return kind != FREE_STEPS or len(tag) <= MAX_STEPS_BYTES
