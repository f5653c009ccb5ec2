"""The chunks of a WebP (RFC 9649): its size, and what tells of colours and orientation."""

from __future__ import annotations

import struct

from .encoded import MAX_PROFILE_BYTES, Encoded, cut_off, damaged, too_complex
from .orientation import orientation_of

KIND = "WEBP"
MAX_CHUNKS = 1 << 16
"""Each is a step of an interpreter; a frame of an animation is one."""
WORKING_BYTES = 12.0
"""Of a pixel, beside the four of the decoded image: the canvas twice, and its copy."""
TABLE_KINDS = (b"VP8L", b"ALPH", b"ANMF")
"""Chunks that may be without loss, and then have tables of codes for squares of pixels."""
MAX_TABLES, TABLE_BYTES, TABLE_BITS, TABLE_PIXELS = 1 << 16, 6 << 10, 20, 16
"""How many there may be, what one takes at the least, in memory and in the file, and its square."""


def is_webp(content: bytes) -> bool:
    """Tell whether a file begins as a WebP does."""
    return content[:4] == b"RIFF" and content[8:12] == KIND.encode()


def read_webp(content: bytes) -> Encoded:
    """Read a WebP. Raises BadImage when its size cannot be told."""
    size: tuple[int, int] | None = None
    told: dict[bytes, bytes] = {}
    has_tables = False
    (length,) = struct.unpack_from("<I", content, 4)
    at, count, end = 12, 0, min(len(content), 8 + length)
    while at + 8 <= end:
        count += 1
        if count > MAX_CHUNKS:
            raise too_complex(KIND, f"expected at most {MAX_CHUNKS:,} chunks", "got more")
        kind, length = struct.unpack_from("<4sI", content, at)
        if size is None:
            size = _size(kind, content, at + 8)
        has_tables = has_tables or kind in TABLE_KINDS
        if kind in (b"ICCP", b"EXIF", b"XMP ") and kind not in told:
            told[kind] = content[at + 8 : min(end, at + 8 + length)]
        at += 8 + length + length % 2
    if size is None:
        raise damaged(KIND, "it does not begin with an image") if at >= 20 else cut_off(KIND)
    tables = _most_tables(size[0] * size[1], len(content)) if has_tables else 0
    profile = told.get(b"ICCP")
    return Encoded(
        KIND,
        content,
        *size,
        stored_bytes=4,
        working_bytes=WORKING_BYTES + TABLE_BYTES * tables / (size[0] * size[1]),
        profile=profile if profile and len(profile) <= MAX_PROFILE_BYTES else None,
        orientation=orientation_of(told.get(b"EXIF"), told.get(b"XMP ")),
        ends=at <= len(content),
    )


def _most_tables(n_pixels: int, n_bytes: int) -> int:
    return min(MAX_TABLES, n_pixels // TABLE_PIXELS, 8 * n_bytes // TABLE_BITS)


def _size(kind: bytes, content: bytes, at: int) -> tuple[int, int]:
    """Width and height by the first chunk."""
    try:
        if kind == b"VP8X":
            low, high, last, top = struct.unpack_from("<HBHB", content, at + 4)
            return (low | high << 16) + 1, (last | top << 16) + 1
        if kind == b"VP8L" and content[at] == 0x2F:
            (bits,) = struct.unpack_from("<I", content, at + 1)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        if kind == b"VP8 " and content[at + 3 : at + 6] == b"\x9d\x01\x2a":
            wide, high = struct.unpack_from("<HH", content, at + 6)
            if wide & 0x3FFF and high & 0x3FFF:
                return wide & 0x3FFF, high & 0x3FFF
    except (struct.error, IndexError):
        raise cut_off(KIND) from None
    raise damaged(KIND, "it does not begin with an image")
