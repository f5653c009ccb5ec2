"""The same drawing in other containers, and images that nobody should decode."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def huge_png(side: int) -> bytes:
    """A small file of `side` x `side` black pixels, made without ever holding them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    packer = zlib.compressobj()
    row = bytes(1 + side)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


MCU_BITS = {"L": "001010", "RGB": "00101000000000", "CMYK": "001010" * 4}
"""A unit of 8 by 8 pixels like the one before it, in the Huffman codes that Pillow writes."""


def huge_jpeg(width: int, height: int, mode: str = "L", **options: object) -> bytes:
    """A small file of one tone in ``width`` x ``height`` pixels, made without ever holding them."""
    tone = (128, 128, 128, 128)[: len(mode)] if mode != "L" else 128
    small = saved(Image.new(mode, (8, 8), tone), "JPEG", subsampling=0, **options)
    marker = b"\xff\xc2" if options.get("progressive") else b"\xff\xc0"
    size = small.index(marker) + 5
    scan = small.index(b"\xff\xda")
    header = small[:size] + struct.pack(">HH", height, width) + small[size + 4 : scan]
    scan += 2 + int.from_bytes(small[scan + 2 : scan + 4], "big")
    units = -(-width // 8) * -(-height // 8)
    row = int(MCU_BITS[mode] * 8, 2).to_bytes(len(MCU_BITS[mode]), "big")
    return header + small[len(header) : scan] + row * -(-units // 8) + b"\xff\xd9"


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("L")


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sixteen_bit(content: bytes) -> bytes:
    values = np.asarray(opened(content), dtype=np.uint16)
    # The upper half of the range: a decoder that clips sees nothing but white.
    return saved(Image.fromarray(values * 128 + 32_767))


def palette(content: bytes) -> bytes:
    return saved(opened(content).convert("RGB").quantize(4))


def cmyk(content: bytes) -> bytes:
    return saved(opened(content).convert("RGB").convert("CMYK"), "JPEG", quality=95)


def exif_rotated(content: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(opened(content).rotate(90, expand=True).convert("RGB"), exif=exif)


def transparent(content: bytes) -> bytes:
    grey = opened(content)
    ink = grey.point(lambda value: 255 - value)
    return saved(Image.merge("RGBA", (*(Image.new("L", grey.size, 40),) * 3, ink)))


def inverted(content: bytes) -> bytes:
    return saved(opened(content).point(lambda value: 255 - value))


def large(content: bytes) -> bytes:
    return saved(opened(content).resize((1500, 1500), Image.Resampling.BICUBIC).convert("RGB"))


DISGUISES = {
    disguise.__name__: disguise
    for disguise in (sixteen_bit, palette, cmyk, exif_rotated, transparent, inverted, large)
}
