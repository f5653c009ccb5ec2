"""The blocks of a GIF (GIF89a) up to its first image. Comments and such are left out."""

from __future__ import annotations

import struct

from .encoded import Encoded, cut_off, damaged, too_complex

KIND, SIGNATURES = "GIF", (b"GIF87a", b"GIF89a")
EXTENSION, IMAGE, END = 0x21, 0x2C, 0x3B
GRAPHIC_CONTROL = 0xF9
MAX_BLOCKS = 1 << 16
"""Blocks and parts of blocks before the first image, each a step of an interpreter."""


def read_gif(content: bytes) -> Encoded:
    """Read a GIF. Raises BadImage when there is no image in it."""
    try:
        wide, high, flags = struct.unpack_from("<HHB", content, 6)
        start = at = 13 + _palette_bytes(flags)
        kept, steps = [content[:start]], 0
        while content[at] != IMAGE:
            steps += 1
            if content[at] == END:
                raise damaged(KIND, "it ends without an image")
            if content[at] != EXTENSION:
                begin, at = at, at + 1
                continue
            begin, label, at = at, content[at + 1], at + 2
            while length := content[at]:
                at, steps = at + 1 + length, steps + 1
                _check_steps(steps)
            at += 1
            if label == GRAPHIC_CONTROL:
                kept.append(content[begin:at])
            _check_steps(steps)
        left, top, width, height = struct.unpack_from("<HHHH", content, at + 1)
    except (IndexError, struct.error):
        raise cut_off(KIND) from None
    return Encoded(
        KIND,
        content if at == start else b"".join([*kept, memoryview(content)[at:]]),
        max(wide, left + width),
        max(high, top + height),
        stored_bytes=1,
        ends=content.rstrip(b"\0").endswith(b"\x3b"),
    )


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _check_steps(steps: int) -> None:
    if steps > MAX_BLOCKS:
        raise too_complex(
            KIND, f"expected at most {MAX_BLOCKS:,} blocks before the image", "got more"
        )
