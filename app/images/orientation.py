"""Which way up an image is, as EXIF or XMP tell it. Nothing else of either is read."""

from __future__ import annotations

import re
import struct

UPRIGHT = 1
EXIF_MARK = b"Exif\0\0"
ORIENTATION_TAG = 0x0112
UNITS = {3: "H", 4: "I", 8: "h", 9: "i"}
"""Whole numbers of two and four bytes by the type that a directory gives them."""
IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation_of(exif: bytes | None, xmp: bytes | None = None) -> int:
    """EXIF's orientation, 1 to 8; 1 where neither tells it or what they tell cannot be read."""
    told = None if exif is None else _in_exif(exif)
    if told is None and xmp is not None and (found := IN_XMP.search(xmp)):
        told = int(found[1])
    return told if told is not None and UPRIGHT <= told <= 8 else UPRIGHT


def _in_exif(exif: bytes) -> int | None:
    """What the first directory tells: a TIFF header, then entries of twelve bytes."""
    while exif.startswith(EXIF_MARK):
        exif = exif[len(EXIF_MARK) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    told = None
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(f"{order}HHI", exif, at)
            if tag != ORIENTATION_TAG or kind not in UNITS or not values:
                continue
            unit = order + UNITS[kind]
            inside = values * struct.calcsize(unit) <= 4
            place = at + 8 if inside else struct.unpack_from(f"{order}I", exif, at + 8)[0]
            (told,) = struct.unpack_from(unit, exif, place)
    except struct.error:
        return told
    return told
