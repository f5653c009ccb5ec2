"""The rule by which large photographs are made smaller before they are sent.

An image file of more than 512 KiB whose longer side has more than 1024 pixels is sent upright, with
a longer side of 1024, in sRGB, as JPEG, or as PNG where it is transparent somewhere. All others are
sent byte for byte, and so is what cannot be decoded here: the server tells what is wrong with it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

LARGE_BYTES = 512 * 1024
LONGER_SIDE = 1024
JPEG_QUALITY = 90
KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What servers decode."""
MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
"""Of which eight bits a colour keep all; of others the server knows more than Pillow tells."""


def shrunk(content: bytes) -> bytes:
    """An image file by the rule of this module."""
    if len(content) <= LARGE_BYTES:
        return content
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=KINDS) as image:
            if max(image.size) <= LONGER_SIDE or image.mode not in MODES:
                return content
            smaller = _smaller(image)
    except (
        *(OSError, ValueError, SyntaxError, EOFError, MemoryError, ArithmeticError),
        *(TypeError, KeyError, IndexError, Image.DecompressionBombError),
        Image.DecompressionBombWarning,
    ):
        return content
    return smaller if smaller is not None and len(smaller) < len(content) else content


def _smaller(opened: Image.Image) -> bytes | None:
    """None of an image whose levels the server would stretch: 0 and 1 alone."""
    from PIL import Image, ImageOps

    profile = opened.info.get("icc_profile")
    # JPEG is decoded at half or less of its size where that is still twice what is wanted.
    opened.draft(None, (2 * LONGER_SIDE, 2 * LONGER_SIDE))
    image = ImageOps.exif_transpose(opened)
    if image.mode == "L" and image.getextrema()[1] == 1:
        return None
    transparent = image.has_transparency_data
    image = image.convert("RGBA" if transparent else "RGB")
    if transparent and image.getchannel("A").getextrema()[1] == 0:
        # As the server does with what is transparent everywhere.
        image, transparent = image.convert("RGB"), False
    scale = LONGER_SIDE / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    # Pillow scales colours by their alpha, so that what is unseen does not bleed into what is seen.
    image = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    image = _in_srgb(image, profile)
    file = io.BytesIO()
    if transparent and image.getchannel("A").getextrema()[0] != 255:
        image.save(file, "PNG")
    else:
        image.convert("RGB").save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An RGB or RGBA image in sRGB's colours; as it is where its profile is of other colours."""
    if not profile:
        return image
    from PIL import ImageCms

    try:
        known = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(known).lower():
            return image
        mode = image.mode
        made = ImageCms.buildTransform(known, ImageCms.createProfile("sRGB"), mode, mode)
        converted: Image.Image = made.apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if mode == "RGBA":
        converted.putalpha(image.getchannel("A"))
    return converted
