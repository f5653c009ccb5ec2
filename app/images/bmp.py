"""The header of a BMP."""

from __future__ import annotations

import struct

from .encoded import Encoded, cut_off, damaged, too_complex

KIND, SIGNATURE = "BMP", b"BM"
OLDEST_HEADER, HEADERS = 12, (12, 40, 52, 56, 64, 108, 124)
"""Bytes of the headers that there are."""
RUN_LENGTHS, EMBEDDED = (1, 2), (4, 5)
"""Numbers of the packings by run lengths, and of a JPEG or PNG inside."""
MAX_PACKED_BYTES, MAX_PACKED_PIXELS = 1 << 20, 4_000_000
"""Of run lengths, which an interpreter unpacks."""


def is_bmp(content: bytes) -> bool:
    """Tell whether a file begins as a BMP does."""
    header = int.from_bytes(content[14:18], "little")
    return content.startswith(SIGNATURE) and header in HEADERS


def read_bmp(content: bytes) -> Encoded:
    """Read a BMP. Raises BadImage for a header that is wrong, or pixels in a packing not read."""
    try:
        first, header = struct.unpack_from("<II", content, 10)
        if header == OLDEST_HEADER:
            width, height, _, depth = struct.unpack_from("<HHHH", content, 18)
            packing = 0
        else:
            width, height, _, depth, packing = struct.unpack_from("<iiHHI", content, 18)
    except struct.error:
        raise cut_off(KIND) from None
    height = abs(height)
    if width <= 0 or not height:
        raise damaged(KIND, f"its header tells of {width} x {height} pixels")
    if packing in EMBEDDED:
        raise damaged(KIND, "it holds another image in place of pixels: send that one")
    if packing in RUN_LENGTHS:
        _check_packed(len(content), width * height)
    return Encoded(
        KIND,
        content,
        width,
        height,
        stored_bytes=1 if depth <= 8 else 4,
        working_bytes=2.0 if packing in RUN_LENGTHS else 0.0,
        ends=packing in RUN_LENGTHS or first + _row_bytes(width, depth) * height <= len(content),
    )


def _row_bytes(width: int, depth: int) -> int:
    return (width * depth + 31) // 32 * 4


def _check_packed(n_bytes: int, n_pixels: int) -> None:
    if n_bytes > MAX_PACKED_BYTES or n_pixels > MAX_PACKED_PIXELS:
        raise too_complex(
            KIND,
            f"expected at most {MAX_PACKED_BYTES:,} bytes and {MAX_PACKED_PIXELS:,} pixels of run "
            "lengths",
            f"got {n_bytes:,} bytes and {n_pixels:,} pixels (send it as PNG)",
        )
