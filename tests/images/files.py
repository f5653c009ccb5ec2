"""Image files put together by hand, piece by piece."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import pytest
import torch
from inkling.errors import BadImage
from inkling.images.decode import decode

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
IFD_ENTRY = ">HHI4s"
"""An entry of EXIF: tag, type, number of values, and the values or where they are."""


def refused(content: bytes) -> BadImage:
    with pytest.raises(BadImage) as caught:
        decode(content)
    return caught.value


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png_with(png: bytes, *chunks: bytes) -> bytes:
    """A PNG with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def text_chunk(n_bytes: int) -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(n_bytes)))


def exif(orientation: int, others: Sequence[bytes] = (), order: str = ">") -> bytes:
    """EXIF with an orientation behind other entries of twelve bytes."""
    value = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    start = {">": b"MM\0*", "<": b"II*\0"}[order] + struct.pack(f"{order}I", 8)
    return start + struct.pack(f"{order}H", len(others) + 1) + b"".join(others) + value + bytes(4)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


def jpeg_with(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG with more segments behind its first marker."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def same(found: bytes, expected: bytes) -> bool:
    return torch.equal(decode(found), decode(expected))
