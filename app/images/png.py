"""The chunks of a PNG (W3C recommendation, third edition) that its pixels depend on.

Others may be large when unpacked, wrongly checksummed or too short; as in browsers, that does no
harm. Of an animated PNG the image is taken that viewers show which know no animation.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from ..errors import BadImage
from .encoded import MAX_PROFILE_BYTES, Encoded, cut_off, damaged, too_complex
from .orientation import orientation_of

KIND, SIGNATURE = "PNG", b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 1 << 16
"""Each is a step of an interpreter; 4096 hold 32 MiB in the pieces that writers make of them."""
MAX_TEXT_BYTES = 1 << 20
"""Of a text, unpacked, in which an orientation is looked for."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values of a pixel by colour type."""
GREY, COLOUR, PALETTE = 0, 2, 3
LENGTHS_OF_TRANSPARENCY = {GREY: 2, COLOUR: 6}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits of a value that there are, by colour type."""
XMP_KEY, OLD_EXIF_KEY = b"XML:com.adobe.xmp", b"Raw profile type exif"
END = b"\0\0\0\0IEND\xae\x42\x60\x82"


@dataclass
class _Found:
    """What was read of the chunks so far."""

    palette: bytes | None = None
    transparency: bytes | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    old_exif: bytes | None = None
    pixels: list[tuple[int, int]] = field(default_factory=list)
    """Where the data of each chunk of pixels begin and end."""
    only_needed: bool = True
    ends: bool = False


def read_png(content: bytes) -> Encoded:
    """Read a PNG. Raises BadImage when a chunk is wrong that its pixels depend on."""
    width, height, depth, colour = _header(content)
    found = _chunks(content, colour)
    if not found.pixels:
        raise cut_off(KIND) if not found.ends else damaged(KIND, "it has no pixels (no IDAT chunk)")
    if colour == PALETTE and found.palette is None:
        raise damaged(KIND, "it has no palette (no PLTE chunk), and its pixels refer to one")
    stored = {1: 2 if depth == 16 else 1}.get(CHANNELS[colour], 4)
    exif = _unpacked_exif(found.old_exif) if found.exif is None else found.exif
    return Encoded(
        KIND,
        content if found.only_needed else _rebuilt(content, found),
        width,
        height,
        stored_bytes=stored,
        profile=found.profile,
        orientation=orientation_of(exif, found.xmp),
        ends=found.ends,
    )


def _header(content: bytes) -> tuple[int, int, int, int]:
    """Width, height, depth and colour type."""
    if content[12:16] == b"CgBI":
        raise BadImage(
            "not_an_image",
            "expected a PNG as browsers read it, got one that was packed into an app for iPhones "
            "(CgBI): send the original",
        )
    if len(content) < 33:
        raise cut_off(KIND)
    length, kind = struct.unpack_from(">I4s", content, 8)
    if kind != b"IHDR" or length != 13:
        raise damaged(KIND, "it does not begin with a header (an IHDR chunk of 13 bytes)")
    if not _checked(content, 8, 33):
        raise damaged(KIND, "the checksum of its header is wrong")
    width, height, depth, colour, packing, filters, interlace = struct.unpack_from(
        ">IIBBBBB", content, 16
    )
    if depth not in DEPTHS.get(colour, ()) or packing or filters or interlace > 1:
        raise damaged(
            KIND, f"its header tells of {depth} bits, colour type {colour}, which there are not"
        )
    return width, height, depth, colour


def _chunks(content: bytes, colour: int) -> _Found:
    found, at, count = _Found(), 33, 0
    while at + 8 <= len(content):
        count += 1
        if count > MAX_CHUNKS:
            raise too_complex(
                KIND, f"expected at most {MAX_CHUNKS:,} chunks", "got more (join its IDAT chunks)"
            )
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if kind == b"IEND":
            found.ends = True
            break
        if kind == b"IDAT":
            found.pixels.append((at + 8, min(end - 4, len(content))))
        elif end > len(content):
            break
        else:
            _other(content, at, end, colour, found)
        at = end
    return found


def _other(content: bytes, at: int, end: int, colour: int, found: _Found) -> None:
    """A chunk that holds no pixels."""
    kind, data = content[at + 4 : at + 8], content[at + 8 : end - 4]
    sound = _checked(content, at, end)
    if kind == b"PLTE":
        if not sound or len(data) % 3 or not 0 < len(data) <= 768:
            raise damaged(KIND, "its palette (PLTE chunk) is wrong")
        found.palette = data
    elif kind == b"tRNS" and sound and _is_transparency(data, colour):
        found.transparency = data
    else:
        found.only_needed = False
        if sound:
            _metadata(kind, data, found)


def _metadata(kind: bytes, data: bytes, found: _Found) -> None:
    if kind == b"iCCP":
        _, _, packed = data.partition(b"\0")
        found.profile = _unpacked(packed, MAX_PROFILE_BYTES)
    elif kind == b"eXIf":
        found.exif = data
    elif kind in (b"iTXt", b"zTXt", b"tEXt"):
        key, _, text = data.partition(b"\0")
        if key == XMP_KEY and kind == b"iTXt":
            found.xmp = _international(text)
        elif key == OLD_EXIF_KEY and kind != b"iTXt":
            found.old_exif = text if kind == b"tEXt" else _unpacked(text, MAX_TEXT_BYTES)


def _is_transparency(data: bytes, colour: int) -> bool:
    if colour == PALETTE:
        return 0 < len(data) <= 256
    return len(data) >= LENGTHS_OF_TRANSPARENCY.get(colour, len(data) + 1)


def _international(text: bytes) -> bytes | None:
    """The text of an iTXt chunk: two bytes on its packing, a language, a translated key, itself."""
    itself = b"".join(text[2:].split(b"\0", 2)[2:])
    return _unpacked(text[1:2] + itself, MAX_TEXT_BYTES) if text[:1] == b"\1" else itself


def _unpacked(packed: bytes, most: int) -> bytes | None:
    """What follows the number of its packing, which is 0; None if it is wrong or larger."""
    if packed[:1] != b"\0":
        return None
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(packed[1:], most + 1)
    except zlib.error:
        return None
    return unpacked if len(unpacked) <= most else None


def _unpacked_exif(text: bytes | None) -> bytes | None:
    """EXIF in hexadecimal digits from the fourth line on, as older writers keep it."""
    if text is None:
        return None
    try:
        return bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
    except ValueError:
        return None


def _checked(content: bytes, at: int, end: int) -> bool:
    """Whether a chunk's checksum is right."""
    view = memoryview(content)
    return zlib.crc32(view[at + 4 : end - 4]) == int.from_bytes(view[end - 4 : end], "big")


def _rebuilt(content: bytes, found: _Found) -> bytes:
    """The file of header, palette, transparency and pixels alone."""
    view = memoryview(content)
    parts: list[bytes | memoryview] = [view[:33]]
    for kind, data in ((b"PLTE", found.palette), (b"tRNS", found.transparency)):
        if data is not None:
            checksum = zlib.crc32(kind + data)
            parts += [struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)]
    for begin, end in found.pixels:
        parts.append(view[begin - 8 : min(end + 4, len(content))])
    if found.ends:
        parts.append(END)
    return b"".join(parts)
