"""One picture, saved in the many ways that decode in ways of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageCms

from .images.test_decode import swapped_profile
from .pictures import saved, sixteen_bit

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<rdf:Description tiff:Orientation="6"></rdf:Description>'


def turned(number: int) -> Callable[[Image.Image], bytes]:
    return lambda image: saved(image, "JPEG", exif=exif(number))


def exif(number: int) -> Image.Exif:
    told = Image.Exif()
    told[0x0112] = number
    return told


def fading(image: Image.Image) -> Image.Image:
    faded = image.copy()
    faded.putalpha(Image.linear_gradient("L").resize(image.size))
    return faded


def invisible(image: Image.Image) -> Image.Image:
    hidden = image.copy()
    hidden.putalpha(0)
    return hidden


def deep(image: Image.Image, factor: int) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * factor)


def mask(image: Image.Image) -> Image.Image:
    return image.convert("L").point([0] * 128 + [1] * 128)


def mask_of_palette(image: Image.Image) -> Image.Image:
    dark = Image.new("P", image.size)
    dark.putdata(mask(image).tobytes())
    dark.putpalette([0, 0, 0, 1, 1, 1])
    return dark


def clear_tone(image: Image.Image) -> bytes:
    grey = deep(image, 257)
    return saved(grey, transparency=int(np.asarray(grey)[0, 0]))


SAVED: Mapping[str, Callable[[Image.Image], bytes]] = {
    **{f"orientation {number}": turned(number) for number in range(1, 9)},
    "orientation of a PNG": lambda image: saved(image, exif=exif(8)),
    "orientation of a WebP": lambda image: saved(image, "WEBP", exif=exif(3)),
    "orientation by XMP": lambda image: saved(image, "JPEG", xmp=XMP),
    "grey": lambda image: saved(image.convert("L"), "JPEG"),
    "CMYK": lambda image: saved(image.convert("CMYK"), "JPEG"),
    "progressive": lambda image: saved(image, "JPEG", progressive=True),
    "large JPEG": lambda image: saved(image.resize((1700, 1130)), "JPEG"),
    "very large": lambda image: saved(image.resize((4300, 2500))),
    "very large, turned": lambda image: saved(image.resize((6100, 5000)), "JPEG", exif=exif(5)),
    "small": lambda image: saved(image.resize((31, 17))),
    "narrow": lambda image: saved(image.resize((400, 30))),
    "fading": lambda image: saved(fading(image)),
    "fading and large": lambda image: saved(fading(image).resize((2500, 900))),
    "grey and fading": lambda image: saved(fading(image).convert("LA")),
    "invisible": lambda image: saved(invisible(image)),
    "palette": lambda image: saved(image.quantize(64)),
    "palette with a clear colour": lambda image: saved(image.quantize(64), transparency=5),
    "GIF": lambda image: saved(image, "GIF"),
    "animation": lambda image: saved(
        image, "GIF", save_all=True, append_images=[Image.new("RGB", image.size, "red")]
    ),
    "BMP": lambda image: saved(image, "BMP"),
    "one bit": lambda image: saved(image.convert("1")),
    "mask": lambda image: saved(mask(image)),
    "mask of a palette": lambda image: saved(mask_of_palette(image)),
    "sixteen bits": lambda image: sixteen_bit(saved(image)),
    "ten bits in sixteen": lambda image: saved(deep(image, 4)),
    "sixteen bits, a clear tone": clear_tone,
    "another profile": lambda image: saved(image, "JPEG", icc_profile=swapped_profile()),
    "another profile, large": lambda image: saved(
        image.resize((2500, 2100)), icc_profile=swapped_profile()
    ),
    "profile of sRGB": lambda image: saved(image, "JPEG", icc_profile=SRGB),
    "broken profile": lambda image: saved(image, "JPEG", icc_profile=b"none"),
    "several in one": lambda image: saved(
        image, "MPO", save_all=True, append_images=[Image.new("RGB", image.size, "red")]
    ),
}
