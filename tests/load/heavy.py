"""Requests of at most 32 MiB that cost a server as much as such requests can."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageFile

from ..api.raw import form, request
from ..images.files import PNG_SIGNATURE, chunk
from ..pictures import huge_jpeg, saved

MIB = 1 << 20
SIDE = 5000
"""Of images as large as they may be."""
JSON = b"application/json"
Build = Callable[[], bytes]


def noise(side: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, channels), dtype=np.uint8)


def png_of_zeros(colour: int, filtered: int, depth: int = 16) -> bytes:
    """A PNG of zeros in one of its colour types, each row behind the same filter."""
    row = bytes([filtered]) + bytes(SIDE * depth // 8 * {0: 1, 2: 3, 6: 4}[colour])
    packer = zlib.compressobj(6)
    pixels = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, 0)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def cmyk_of_noise() -> bytes:
    bands = [Image.fromarray(band) for band in np.moveaxis(noise(SIDE, 4), 2, 0).copy()]
    return jpeg_of_noise(Image.merge("CMYK", bands), 30)


def jpeg_of_noise(image: Image.Image, quality: int) -> bytes:
    with pytest.MonkeyPatch.context() as patched:
        # Pillow writes a JPEG of noise only into a buffer that is large enough for all of it.
        patched.setattr(ImageFile, "MAXBLOCK", 64 * MIB)
        return saved(image, "JPEG", progressive=True, quality=quality, subsampling=0)


IMAGES: Mapping[str, Build] = {
    "a PNG of sixteen bits and four channels": partial(png_of_zeros, 6, 4),
    "a PNG of sixteen bits of grey": partial(png_of_zeros, 0, 0),
    "a progressive JPEG of noise": lambda: jpeg_of_noise(Image.fromarray(noise(SIDE, 3)), 75),
    "a progressive JPEG of noise in CMYK": cmyk_of_noise,
    "a JPEG of 200 megapixels": partial(huge_jpeg, 14_000, 14_000, "RGB"),
    "a WEBP of noise": lambda: saved(Image.fromarray(noise(3800, 3)), "WEBP", quality=60, method=0),
    "a WEBP without losses": lambda: saved(
        Image.fromarray(noise(3000, 3)), "WEBP", lossless=True, quality=0, method=0
    ),
    "a GIF of noise": lambda: saved(Image.fromarray(noise(4800, 1)[..., 0]), "GIF"),
    "a BMP": lambda: saved(Image.fromarray(noise(3300, 3)), "BMP"),
}
"""Images of which one is about as much as may be sent."""


def one_image(content: bytes, other: bytes) -> bytes:
    return request("/adapt", *form([("a", content), ("b", other)]))


def many_images(contents: list[bytes], **options: str) -> bytes:
    fields = zip(itertools.cycle("ab"), itertools.islice(itertools.cycle(contents), 1000))
    return request("/adapt", *form(list(fields), **options))


def images_in_json(contents: list[bytes]) -> bytes:
    support = [
        {"label": label, "image": base64.b64encode(content).decode()}
        for label, content in zip(
            itertools.cycle("ab"), itertools.islice(itertools.cycle(contents), 1000)
        )
    ]
    return request("/adapt", JSON, json.dumps({"support": support}).encode())


def filled(begin: bytes, again: bytes, end: bytes = b"") -> bytes:
    """A JSON body of as many equal pieces as may be sent."""
    return begin + again * ((32 * MIB - len(begin) - len(end)) // len(again)) + end


def of_parts(again: bytes) -> bytes:
    body = filled(b"", b"--edge\r\n" + again, b"--edge--\r\n")
    return request("/adapt", b"multipart/form-data; boundary=edge", body)


def in_json(begin: bytes, again: bytes, end: bytes = b"") -> bytes:
    return request("/adapt", JSON, filled(begin, again, end))


def packed(content: bytes, kind: bytes) -> bytes:
    return request("/adapt", kind, gzip.compress(content), b"Content-Encoding: gzip")


def part(name: bytes, more: bytes = b"", content: bytes = b"x") -> bytes:
    head = b'Content-Disposition: form-data; name="' + name + b'"' + more
    return head + b"\r\n\r\n" + content + b"\r\n"


BODIES: Mapping[str, Build] = {
    "a form of many texts": lambda: of_parts(part(b"x")),
    "a form of many empty files": lambda: of_parts(part(b"x", b'; filename="1.png"', b"")),
    "a form of boundaries": lambda: of_parts(b""),
    "a form of one long text": lambda: of_parts(part(b"x", b"", b"x" * (31 * MIB))),
    "a form of one long header": lambda: of_parts(part(b"x" * (31 * MIB))),
    "a form of near boundaries": lambda: of_parts(
        part(b"x", b'; filename="1.png"', b"\r\n--edg" * (31 * MIB // 7))
    ),
    "JSON of lists in lists": lambda: in_json(b"", b"["),
    "JSON of empty objects": lambda: in_json(b'{"support":[', b"{},", b"{}]}"),
    "JSON of keys": lambda: request(
        "/adapt", JSON, b"{%s}" % b",".join(b'"%d":1' % n for n in range(2_500_000))
    ),
    "JSON of numbers": lambda: in_json(b'{"support":[', b"1,", b"1]}"),
    "JSON of one long number": lambda: in_json(b'{"steps":', b"1", b"}"),
    "JSON of one long text": lambda: in_json(b'{"support":[{"label":"', b"x", b'"}]}'),
    "JSON of escapes": lambda: in_json(b'{"support":[{"label":"', rb"\ud83d\ude00", b'"}]}'),
    "JSON of blanks": lambda: in_json(b"{", b" ", b"}"),
    "JSON of base64 of zeros": lambda: in_json(
        b'{"support":[{"label":"a","image":"', b"AAAA", b'"}]}'
    ),
    "JSON of base64 with blanks": lambda: in_json(
        b'{"support":[{"label":"a","image":"', b"A A ", b'"}]}'
    ),
    "packed zeros": lambda: packed(bytes(600 * MIB), JSON),
    "packed parts": lambda: packed(
        b"--edge\r\n" * (200 * MIB // 8), b"multipart/form-data; boundary=edge"
    ),
}
"""Bodies that are large, or become so."""
