"""The same picture in other files: as people save, resize and brighten what they have already."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageEnhance

from .pictures import saved


def _shown(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _resized(content: bytes, scale: float) -> Image.Image:
    image = _shown(content)
    return image.resize((round(scale * image.width), round(scale * image.height)))


def same_bytes(content: bytes) -> bytes:
    return content


def as_png(content: bytes) -> bytes:
    return saved(_shown(content))


def as_poor_jpeg(content: bytes) -> bytes:
    return saved(_shown(content), "JPEG", quality=40)


def as_webp(content: bytes) -> bytes:
    return saved(_shown(content), "WEBP", quality=75)


def half_as_large(content: bytes) -> bytes:
    return saved(_resized(content, 0.5), "JPEG", quality=85)


def a_fifth_smaller(content: bytes) -> bytes:
    return saved(_resized(content, 0.8))


def darker(content: bytes) -> bytes:
    return saved(ImageEnhance.Brightness(_shown(content)).enhance(0.7), "JPEG", quality=85)


def of_less_contrast(content: bytes) -> bytes:
    return saved(ImageEnhance.Contrast(_shown(content)).enhance(0.6), "JPEG", quality=85)


COPIES: dict[str, Callable[[bytes], bytes]] = {
    copy.__name__: copy
    for copy in (
        same_bytes,
        as_png,
        as_poor_jpeg,
        as_webp,
        half_as_large,
        a_fifth_smaller,
        darker,
        of_less_contrast,
    )
}


def cropped(content: bytes) -> bytes:
    """Without a hundredth of each side: told of most drawings, and of two photographs in three."""
    image = _shown(content)
    width, height = image.width // 100, image.height // 100
    box = (width, height, image.width - width, image.height - height)
    return saved(image.crop(box), "JPEG", quality=85)
