"""Classify images by a session that Inkling exported to ONNX.

    python classify.py inkling-session.onnx photo.jpg another.png
    python classify.py inkling-session.onnx --check

It needs onnxruntime, numpy and Pillow, and nothing of Inkling. `pixels` decodes as a server does:
all else is in the file. Refused are files that a server refuses for what they are; a server also
mends some damaged files that Pillow refuses, and refuses some that would take it too long.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageCms
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

KINDS: dict[bytes, Any] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"RIFF": WebPImageFile,
    b"GIF8": GifImageFile,
    b"BM": BmpImageFile,
}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MOST_PIXELS, MOST_OF_JPEG, MOST_OF_WEBP = 25_000_000, 200_000_000, 14_745_600
LARGEST_SIDE, SMALLEST_SIDE, MOST_NARROW = 2048, 8, 20
MOST_OF_PROFILE = 4 << 20
WITH_ALPHA = ("RGBA", "LA", "PA")
TOLERANCE = 1e-4


def pixels(content: bytes, useful_side: int | None) -> np.ndarray:
    """`(height, width, 4)` uint8 of an image file. Raises ValueError or OSError."""
    image = opened(content)
    kind, (width, height) = type(image), image.size
    shrink = 1.0 if useful_side is None else min(1.0, useful_side / min(width, height))
    if width * height > MOST_PIXELS:
        shrink = min(shrink, LARGEST_SIDE / max(width, height))
    if kind is JpegImageFile and shrink < 1:
        # Decoded at a half, a quarter or an eighth, where that keeps as much as is looked at.
        image.draft(None, (math.ceil(width * shrink), math.ceil(height * shrink)))
    image.load()
    profile = image.info.get("icc_profile") or b""
    turn = None
    if kind in (JpegImageFile, PngImageFile, WebPImageFile):
        turn = TURNS.get(image.getexif().get(0x0112, 1))
    if image.mode in WITH_ALPHA and image.getchannel("A").getextrema() == (0, 0):
        image.putalpha(255)  # nobody could see anything of it
    levels = eight_bit(image, looks_dim=kind not in (JpegImageFile, WebPImageFile))
    if turn is not None:
        levels = levels.transpose(turn)
    factor = math.ceil(max(levels.size) / LARGEST_SIDE)
    if levels.mode == "RGB":
        reduced = levels.reduce(factor) if factor > 1 else levels
        return np.array(in_srgb(reduced, profile).convert("RGBA"))
    if levels.mode == "CMYK":
        levels = in_srgb(levels, profile).convert("RGB")
    rgba = levels.convert("RGBA")
    return np.array(rgba.reduce(factor) if factor > 1 else rgba)


def opened(content: bytes) -> Any:
    """An image file whose size is accepted. Its first bytes decide what it is."""
    kind = next((kind for first, kind in KINDS.items() if content.startswith(first)), None)
    if kind is None:
        raise ValueError("expected a PNG, JPEG, WEBP, GIF or BMP")
    image = kind(io.BytesIO(content))
    width, height = image.size
    most = {JpegImageFile: MOST_OF_JPEG, WebPImageFile: MOST_OF_WEBP}.get(kind, MOST_PIXELS)
    if kind is JpegImageFile and image.info.get("progressive"):
        most = MOST_PIXELS
    if width * height > most:
        raise ValueError(f"at most {most:,} pixels accepted, got {width} x {height}")
    if min(width, height) < SMALLEST_SIDE or max(width, height) > MOST_NARROW * min(width, height):
        raise ValueError(f"too small (below {SMALLEST_SIDE} pixels) or narrow: {width} x {height}")
    return image


def eight_bit(image: Any, looks_dim: bool) -> Any:
    """Levels of eight bits, stretched where they are so low that they show nothing."""
    if image.mode == "I;16":
        values = np.asarray(image).astype(np.uint32)
        bits = int(values.max()).bit_length()
        highest = 2**bits - 1 if looks_dim and 0 < bits <= 10 else 65_535
        grey = Image.fromarray(((values * 255 + highest // 2) // highest).astype(np.uint8))
        clear = image.info.get("transparency")
        if not isinstance(clear, int):
            return grey
        alpha = Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
        return Image.merge("LA", (grey, alpha))
    if not looks_dim or image.mode not in ("P", "L", "LA", "RGB", "RGBA"):
        return image
    if image.mode == "P":
        tops = (image.getpalette() or [])[: 3 * (image.getextrema()[1] + 1)]
    else:
        tops = [image.getchannel(b).getextrema()[1] for b in image.getbands() if b != "A"]
    if max(tops, default=0) != 1:
        return image
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    has_alpha = image.mode in WITH_ALPHA
    stretched = [min(255, level * 255) for level in range(256)]
    kept = list(range(256)) if has_alpha else []
    return image.point(stretched * (len(image.getbands()) - has_alpha) + kept)


def in_srgb(image: Any, profile: bytes) -> Any:
    """RGB or CMYK with colours as sRGB has them; as it is where its profile cannot be read."""
    if not profile or len(profile) > MOST_OF_PROFILE:
        return image
    try:
        known = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGB" and "srgb" in ImageCms.getProfileDescription(known).lower():
            return image
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(known, srgb, image.mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return transform.apply(image)


class Classifier:
    """A session in an ONNX file."""

    def __init__(self, path: str) -> None:
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        told = self._session.get_modelmeta().custom_metadata_map
        self.labels, self.golden, self.useful_side = (
            json.loads(told[key]) for key in ("labels", "golden", "useful_side")
        )

    def __call__(self, content: bytes) -> tuple[list[float], float | None]:
        """Probabilities by the order of `labels`, and the none-of-these score, if there is one."""
        image = pixels(content, self.useful_side)[None]
        probabilities, *apart = self._session.run(None, {"image": image})
        return probabilities[0].tolist(), float(apart[0][0]) if apart else None


def check(classifier: Classifier) -> bool:
    """Compare the examples in the file with what comes out here."""
    worst = 0.0
    for example in classifier.golden:
        found, apart = classifier(base64.b64decode(example["content"]))
        off = [abs(a - b) for a, b in zip(found, example["probabilities"], strict=True)]
        if apart is not None:
            off.append(abs(apart - example["none_of_these"]))
        worst = max(worst, *off)
        print(f"{example['file']}: at most {max(off):.1e} off")
    return worst <= TOLERANCE


def main() -> int:
    """Tell the label of each file; 1 where one cannot be read or an example differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("session", help="an ONNX file that Inkling exported")
    parser.add_argument("images", nargs="*", help="image files")
    parser.add_argument("--check", action="store_true", help="compare the examples in the file")
    arguments = parser.parse_intermixed_args()
    classifier = Classifier(arguments.session)
    failed = arguments.check and not check(classifier)
    for path in arguments.images:
        try:
            probabilities, apart = classifier(Path(path).read_bytes())
        except (ValueError, OSError, SyntaxError) as unreadable:
            print(f"{path}: {unreadable}", file=sys.stderr)
            failed = True
            continue
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        none = "" if apart is None else f"\tnone of these: {apart:.3f}{' (likely)' * (apart > 1)}"
        print(f"{path}\t{classifier.labels[best]}\t{probabilities[best]:.4f}{none}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
