"""What an image shows, where viewers would show nothing: levels too low, or all of it transparent.

Arrays of whole numbers are often saved as they are: a mask of 0 and 1, or eight bits in sixteen.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from PIL import Image

SIXTEEN_BIT_GREY = "I;16"
WITH_ALPHA = ("RGBA", "LA", "PA")
DIM_BITS = 10
"""Of sixteen: levels that take no more are at most 4 of 255, which no preprocessing can see."""
DIM_LEVEL = 1
"""Of 255: levels no higher than this are a mask."""


def make_opaque_if_transparent(image: Image.Image) -> None:
    """Make an image opaque all of whose pixels are transparent; others are left as they are.

    Clipboards and screen grabbers of Windows leave it at 0.
    """
    if image.mode not in WITH_ALPHA:
        return
    corner = image.getpixel((0, 0))
    if not isinstance(corner, tuple) or corner[-1]:
        return
    if image.getchannel("A").getextrema() == (0, 0):
        # In place: another copy of a large image would take as much memory again.
        image.putalpha(255)


def dimness(image: Image.Image) -> int | None:
    """The highest level that an image which shows nothing can have; None if it shows something.

    That is one less than a power of two. Of grey and colours alone, without a palette's own.
    """
    if image.mode == SIXTEEN_BIT_GREY:
        bits = _highest(image).bit_length()
        return 2**bits - 1 if 0 < bits <= DIM_BITS else None
    if image.mode == "P":
        colours = (image.getpalette() or [])[: 3 * (_highest(image) + 1)]
    elif image.mode in ("L", "LA", "RGB", "RGBA"):
        colours = [_highest(image, band) for band in image.getbands() if band != "A"]
    else:
        return None
    return DIM_LEVEL if max(colours, default=0) == DIM_LEVEL else None


def _highest(image: Image.Image, band: str | None = None) -> int:
    """The highest level of an image of one band, or of a band."""
    of = image if band is None or image.mode == "L" else image.getchannel(band)
    return cast("tuple[int, int]", of.getextrema())[1]


def shown_levels(image: Image.Image, dim: int | None) -> Image.Image:
    """Grey of up to sixteen bits in eight, and levels that are ``dim`` over all of them.

    Sixteen bits are divided by 257, so that 65,535 becomes 255 (Pillow would clip).
    """
    if image.mode == SIXTEEN_BIT_GREY:
        return _eight_bit(image, dim)
    if dim is None:
        return image
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    scaled = [min(255, level * 255 // dim) for level in range(256)]
    colours = len(image.getbands()) - (image.mode in WITH_ALPHA)
    alpha = list(range(256)) if image.mode in WITH_ALPHA else []
    return image.point(scaled * colours + alpha)


def _eight_bit(image: Image.Image, dim: int | None) -> Image.Image:
    values = np.asarray(image).astype(np.uint32)
    transparent = image.info.get("transparency")
    highest = 65_535 if dim is None else dim
    grey = Image.fromarray(((values * 255 + highest // 2) // highest).astype(np.uint8))
    if not isinstance(transparent, int):
        return grey
    alpha = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, alpha))
