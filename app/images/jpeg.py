"""What the header of a JPEG tells of the memory that decoding it takes (ITU-T T.81, annex B)."""

from __future__ import annotations

SEQUENTIAL_FRAMES = frozenset({0xC0, 0xC1, 0xC9})
OTHER_FRAMES = frozenset(range(0xC0, 0xD0)) - SEQUENTIAL_FRAMES - {0xC4, 0xC8, 0xCC}
WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xDA)})
"""Markers that have no place before a scan; taken for segments, they could hide a frame."""
START_OF_IMAGE, START_OF_SCAN, FILL = b"\xff\xd8", 0xDA, 0xFF
COMPONENTS_OF_FRAME, COMPONENTS_OF_SCAN = 9, 4
"""Bytes from a segment's marker to the number of its components."""


def has_one_scan(content: bytes) -> bool:
    """Tell whether a JPEG has all colours of a place together, so that it is decoded row by row.

    Of any other, such as a progressive one, the coefficients of the whole image are kept until its
    last scan. False as well for what is not the beginning of a JPEG.
    """
    if not content.startswith(START_OF_IMAGE):
        return False
    at, components = 2, None
    while content[at : at + 1] == b"\xff" and at + COMPONENTS_OF_FRAME < len(content):
        marker = content[at + 1]
        if marker == FILL:
            at += 1
            continue
        if marker in OTHER_FRAMES | WITHOUT_LENGTH:
            return False
        if marker in SEQUENTIAL_FRAMES:
            components = content[at + COMPONENTS_OF_FRAME]
        if marker == START_OF_SCAN:
            return content[at + COMPONENTS_OF_SCAN] == components
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return False
