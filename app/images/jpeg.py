"""The segments of a JPEG (ITU-T T.81, annex B): those that pixels depend on, and what they cost.

Thumbnails, further images, comments and the like are left out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import BadImage
from .encoded import MAX_PROFILE_BYTES, Encoded, cut_off, damaged, too_complex
from .orientation import EXIF_MARK, orientation_of

KIND, SIGNATURE = "JPEG", b"\xff\xd8\xff"
SEQUENTIAL_FRAMES = frozenset({0xC0, 0xC1, 0xC9})
TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD})
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD8), 0xFF})
"""After 0xFF: what is no segment, such as a marker that restarts a scan."""
START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = 0xD8, 0xD9, 0xDA
APP0, APP1, APP2, APP14 = 0xE0, 0xE1, 0xE2, 0xEE
COLOURS_ARE_TOLD_BY = {APP0: b"JFIF", APP14: b"Adobe"}
XMP_MARK, PROFILE_MARK = b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
IN_SCANS = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")

MAX_SEGMENTS, MAX_TABLE_BYTES = 1 << 14, 1 << 16
"""Before the first scan; a table is read by an interpreter too."""
MAX_SCANS = 100
"""Encoders write about ten. A scan takes time for all pixels, however short it is."""
MAX_SCANNED_PIXELS = 500_000_000
"""Pixels times scans."""
COEFFICIENT_BYTES = 2
MISSING_AT_THE_END = 16
"""Bytes that may be missing of a single scan: its end, and a few squares in the last corner."""


@dataclass
class _Found:
    """What was read of the segments so far."""

    frame: tuple[int, bytes] | None = None
    kept: list[bytes] = field(default_factory=list)
    table_bytes: int = 0
    profile: list[bytes] = field(default_factory=list)
    exif: bytes | None = None
    xmp: bytes | None = None


def read_jpeg(content: bytes) -> Encoded:
    """Read a JPEG. Raises BadImage when a segment is wrong, or where there are too many scans."""
    found, scan = _Found(), len(content)
    for marker, begin, end in _segments(content):
        if marker == START_OF_SCAN:
            scan = begin
            break
        _segment(marker, content[begin:end], found)
    if scan == len(content):
        raise cut_off(KIND)
    if found.frame is None:
        raise damaged(KIND, "its pixels come before its size")
    marker, frame = found.frame
    width, height, n_colours, sampled = _size(frame)
    one_scan = marker in SEQUENTIAL_FRAMES and content[scan + 4 : scan + 5] == bytes([n_colours])
    if not one_scan:
        _check_scans(content, scan, width * height)
    ends = content.rfind(bytes([0xFF, END_OF_IMAGE]), scan) >= 0
    parts: list[bytes | memoryview] = [b"\xff\xd8", *found.kept, memoryview(content)[scan:]]
    if one_scan and not ends:
        parts.append(bytes(MISSING_AT_THE_END))
    return Encoded(
        KIND,
        b"".join(parts),
        width,
        height,
        stored_bytes=1 if n_colours == 1 else 4,
        working_bytes=0.0 if one_scan else COEFFICIENT_BYTES * sampled,
        profile=_profile(found.profile),
        orientation=orientation_of(found.exif, found.xmp),
        one_scan=one_scan,
        ends=ends,
    )


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of each segment from the second marker on, whatever lies between."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        at = content.find(b"\xff", at)
        while at >= 0 and content[at + 1 : at + 2] == b"\xff":
            at += 1
        if at < 0 or at + 4 > len(content):
            return
        marker = content[at + 1]
        if marker in WITHOUT_LENGTH:
            at += 2
            continue
        if marker in (START_OF_IMAGE, END_OF_IMAGE):
            raise damaged(KIND, "it has no pixels, or another image begins before them")
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        if length < 2:
            raise damaged(KIND, f"a segment has a length of {length} bytes, where 2 are the least")
        end = at + 2 + length
        if end > len(content):
            return
        yield marker, at, end
        at = end
    raise too_complex(
        KIND, f"expected at most {MAX_SEGMENTS:,} segments before its pixels", "got more"
    )


def _segment(marker: int, segment: bytes, found: _Found) -> None:
    """A segment before the first scan, from its marker on."""
    data = segment[4:]
    if marker in FRAMES:
        if found.frame is not None:
            raise damaged(KIND, "it tells its size twice")
        found.frame = marker, data
        found.kept.append(segment)
    elif marker in TABLES:
        found.table_bytes += len(segment)
        if found.table_bytes > MAX_TABLE_BYTES:
            raise too_complex(
                KIND, f"expected at most {MAX_TABLE_BYTES:,} bytes of tables", "got more"
            )
        found.kept.append(segment)
    elif marker in COLOURS_ARE_TOLD_BY and data.startswith(COLOURS_ARE_TOLD_BY[marker]):
        found.kept.append(segment)
    elif marker == APP1 and data.startswith(EXIF_MARK):
        found.exif = data if found.exif is None else found.exif
    elif marker == APP1 and data.startswith(XMP_MARK):
        found.xmp = data[len(XMP_MARK) :]
    elif marker == APP2 and data.startswith(PROFILE_MARK):
        found.profile.append(data[len(PROFILE_MARK) :])


def _size(frame: bytes) -> tuple[int, int, int, float]:
    """Width, height, number of colours, and the values of all colours that a pixel has."""
    try:
        bits, height, width, n_colours = struct.unpack_from(">BHHB", frame)
        sampling = [frame[6 + 3 * place + 1] for place in range(n_colours)]
    except (struct.error, IndexError):
        raise damaged(KIND, "its header is too short") from None
    if bits != 8:
        raise BadImage("unsupported_depth", f"expected 8 bits a colour of a JPEG, got {bits}")
    if n_colours not in (1, 3, 4):
        raise damaged(KIND, f"expected 1, 3 or 4 colours, got {n_colours}")
    if not width or not height:
        raise damaged(KIND, f"its header tells of {width} x {height} pixels")
    across, down = [each >> 4 for each in sampling], [each & 15 for each in sampling]
    if min(*across, *down, 4) < 1 or max(*across, *down) > 4:
        raise damaged(KIND, "its header tells of colours in steps that there are not")
    values = sum(wide * high for wide, high in zip(across, down, strict=True))
    return width, height, n_colours, values / (max(across) * max(down))


def _check_scans(content: bytes, first: int, n_pixels: int) -> None:
    most = max(1, min(MAX_SCANS, MAX_SCANNED_PIXELS // n_pixels))
    # Of most files this counts them well enough; others are read marker by marker.
    if content.count(bytes([0xFF, START_OF_SCAN]), first) <= most:
        return
    at, scans = first, 0
    while scans <= most and (marker := IN_SCANS.search(content, at)):
        kind, at = content[marker.start() + 1], marker.end()
        if kind == END_OF_IMAGE:
            return
        scans += kind == START_OF_SCAN
        at += max(2, int.from_bytes(content[at : at + 2], "big"))
    if scans > most:
        raise too_complex(
            KIND,
            f"expected at most {most} scans of {n_pixels:,} pixels",
            "got more (save it as one that is not progressive)",
        )


def _profile(parts: list[bytes]) -> bytes | None:
    """The profile whose parts begin with their own number and that of all; None unless whole."""
    ordered = sorted(parts)
    if not ordered or len(ordered[0]) < 2 or ordered[0][1] != len(ordered):
        return None
    profile = b"".join(part[2:] for part in ordered)
    return profile if len(profile) <= MAX_PROFILE_BYTES else None
