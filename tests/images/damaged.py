"""Content that was damaged by chance, and images of all formats to damage."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ..pictures import opened, saved
from .files import IFD_ENTRY, PNG_SIGNATURE, chunk, exif, jpeg_with, png_with, segment, text_chunk

ODD_BYTES = (b"\0", b"\r\n", b"\n", b'"', b"\\", b"--edge", b"--", b"%00", b"\xff\xfe", b";", b"=")


@dataclass(frozen=True)
class Material:
    """What requests are made of: small images of all formats, and whole images to go with them."""

    whole: Sequence[bytes]
    images: dict[str, bytes]


def material(drawings: Sequence[bytes], photograph: bytes) -> Material:
    """Drawings and a photograph in all formats and dialects that are read, and some that are not.

    Two drawings at least.
    """
    grey, colour = opened(drawings[0]), Image.open(io.BytesIO(photograph)).convert("RGB")
    colour.thumbnail((160, 160))
    animated: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", colour.size)]}
    flat, jpeg = saved(grey), saved(colour, "JPEG")
    many = exif(6, [struct.pack(IFD_ENTRY, 0x100 + n, 4, 9, b"\xff" * 4) for n in range(40)])
    images = {
        "PNG": flat,
        "PNG in colour": saved(colour),
        "PNG with a palette": saved(colour.quantize(9), transparency=3),
        "PNG of one bit": saved(grey.convert("1")),
        "PNG of sixteen bits": saved(grey.convert("I").point(lambda v: v * 200).convert("I;16")),
        "PNG with texts": png_with(flat, text_chunk(5000), chunk(b"eXIf", many)),
        "JPEG": jpeg,
        "JPEG in passes": saved(colour, "JPEG", progressive=True),
        "JPEG in four inks": saved(colour.convert("CMYK"), "JPEG"),
        "JPEG with EXIF": jpeg_with(jpeg, segment(0xE1, b"Exif\0\0" + many)),
        "JPEG in grey": saved(grey.convert("L"), "JPEG", quality=30),
        "GIF": saved(colour, "GIF"),
        "GIF that moves": saved(colour, "GIF", **animated),
        "BMP": saved(colour, "BMP"),
        "BMP of one bit": saved(grey.convert("1"), "BMP"),
        "WebP": saved(colour, "WEBP", quality=50),
        "WebP without loss": saved(colour, "WEBP", lossless=True),
        "WebP that moves": saved(colour, "WEBP", **animated),
        "TIFF": saved(colour, "TIFF"),
        "ICO": saved(colour, "ICO"),
    }
    return Material(tuple(drawings), images)


def bytes_changed(chooser: random.Random, content: bytes) -> bytes:
    """Content of any kind that is damaged somewhere."""
    how = chooser.choice((_flipped, _cut, _repeated, _emptied, _with_odd_bytes))
    return how(chooser, content, [content])


def _flipped(chooser: random.Random, content: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(content)
    for _n in range(chooser.choice((1, 1, 2, 8, 64))):
        # What comes first says what the rest is, so it is hit more often than by chance.
        end = len(changed) if chooser.random() < 0.5 else min(len(changed), 200)
        if end:
            changed[chooser.randrange(end)] ^= 1 << chooser.randrange(8)
    return bytes(changed)


def _cut(chooser: random.Random, content: bytes, _: Sequence[bytes]) -> bytes:
    return content[: chooser.randrange(len(content) + 1)]


def _spliced(chooser: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    other = chooser.choice(others)
    return content[: chooser.randrange(len(content) + 1)] + other[chooser.randrange(len(other)) :]


def _repeated(chooser: random.Random, content: bytes, _: Sequence[bytes]) -> bytes:
    begin = chooser.randrange(len(content) + 1)
    end = min(len(content), begin + chooser.choice((1, 4, 64, 4096)))
    return content[:end] + content[begin:end] * chooser.choice((1, 2, 500)) + content[end:]


def _emptied(chooser: random.Random, content: bytes, _: Sequence[bytes]) -> bytes:
    begin = chooser.randrange(len(content) + 1)
    end = min(len(content), begin + chooser.choice((1, 4, 64)))
    return content[:begin] + chooser.choice((b"\0", b"\xff")) * (end - begin) + content[end:]


def _with_odd_bytes(chooser: random.Random, content: bytes, _: Sequence[bytes]) -> bytes:
    place = chooser.randrange(len(content) + 1)
    return content[:place] + chooser.choice(ODD_BYTES) + content[place:]


def _with_odd_number(chooser: random.Random, content: bytes, _: Sequence[bytes]) -> bytes:
    """A size, a count or an offset among the first bytes that is out of all bounds."""
    place = chooser.randrange(min(len(content), 64) + 1)
    odd = chooser.choice(
        (b"\0\0\0\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\xff\xff", b"\xff\x7f")
    )
    return content[:place] + odd + content[place + len(odd) :]


def _with_good_checksums(chooser: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Changed within a chunk of PNG, whose checksum is made anew so that it is looked into."""
    if not content.startswith(PNG_SIGNATURE):
        return _flipped(chooser, content, others)
    chunks, place = [], len(PNG_SIGNATURE)
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    if not chunks:
        return content
    chosen = chooser.randrange(len(chunks))
    name, inside = chunks[chosen]
    how = chooser.randrange(5)
    if how == 0:
        chunks.insert(chooser.randrange(len(chunks) + 1), chunks[chosen])
    elif how == 1:
        del chunks[chosen]
    elif how == 2 and name == b"IDAT":
        chunks[chosen] = name, zlib.compress(_flipped(chooser, _unpacked(inside), others))
    else:
        chunks[chosen] = name, bytes_changed(chooser, inside)
    return PNG_SIGNATURE + b"".join(chunk(*parts) for parts in chunks)


def _unpacked(content: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        return unpacker.decompress(content, 1 << 20)
    except zlib.error:
        return content


Change = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
IMAGE_CHANGES: tuple[tuple[str, Change], ...] = (
    ("bits flipped", _flipped),
    ("cut off", _cut),
    ("spliced", _spliced),
    ("repeated", _repeated),
    ("emptied", _emptied),
    ("an odd number", _with_odd_number),
    ("good checksums", _with_good_checksums),
)
