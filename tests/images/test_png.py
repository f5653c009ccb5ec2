"""PNGs whose pixels are whole, whatever else is in them, and those whose are not."""

from __future__ import annotations

import resource
import struct
import zlib

import numpy as np
import pytest
import torch
from inkling.images.decode import decode
from PIL import Image

from ..pictures import saved
from .files import PNG_SIGNATURE, chunk, exif, png_with, refused, same, text_chunk


def wrongly_checked(kind: bytes, content: bytes) -> bytes:
    return chunk(kind, content)[:-1] + b"\x01"


LARGE = 3 << 20
METADATA = {
    "a long text": text_chunk(LARGE),
    "a long international text": chunk(
        b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(LARGE))
    ),
    "a long profile": chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2 * LARGE))),
    "a profile in no packing": chunk(b"iCCP", b"icc\0\x07profile"),
    "a wrong checksum": wrongly_checked(b"pHYs", bytes(9)),
    "a wrong checksum of transparency": wrongly_checked(b"tRNS", bytes(6)),
    "a short gamma": chunk(b"gAMA", b"\1"),
    "a short transparency": chunk(b"tRNS", b"\1"),
    "short chromaticities": chunk(b"cHRM", b"\1"),
    "a broken animation": chunk(b"acTL", b"\1") + chunk(b"fcTL", b"\2"),
    "a key that is no text": chunk(b"tEXt", b"\xff\xfe\0\xff"),
}


@pytest.fixture
def picture() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    return saved(Image.fromarray(noise))


@pytest.mark.parametrize("name", METADATA)
def test_metadata_that_is_large_or_wrong_does_no_harm(name: str, picture: bytes) -> None:
    assert same(png_with(picture, METADATA[name]), picture)
    assert same(picture[:-12] + METADATA[name] + picture[-12:], picture)


@pytest.mark.parametrize(
    "told",
    [
        chunk(b"eXIf", exif(6)),
        chunk(b"eXIf", exif(6, order="<")),
        chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<rdf tiff:Orientation="6"/>'),
        chunk(
            b"zTXt",
            b"Raw profile type exif\0\0"
            + zlib.compress(b"\nexif\n40\n" + (b"Exif\0\0" + exif(6)).hex().encode()),
        ),
    ],
    ids=["exif", "little-endian", "xmp", "older writers"],
)
def test_orientation_is_read_wherever_it_is_told(told: bytes, picture: bytes) -> None:
    turned = torch.rot90(decode(picture), -1, (0, 1))
    assert torch.equal(decode(png_with(picture, told)), turned)


def test_exif_whose_entries_point_at_all_of_it_is_not_unpacked(picture: bytes) -> None:
    entry = struct.pack(">HHII", 0x9999, 7, 4 << 20, 0)
    bomb = exif(6, [entry] * 60_000) + bytes(4 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decode(png_with(picture, chunk(b"eXIf", bomb))).shape[:2] == (30, 20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_what_pixels_depend_on_has_to_be_sound(picture: bytes) -> None:
    assert "checksum of its header is wrong" in str(refused(picture[:20] + b"x" + picture[21:]))
    palette = saved(Image.new("P", (20, 20)))
    place = palette.index(b"PLTE")
    wrong = palette[: place + 5] + b"x" + palette[place + 6 :]
    assert "its palette (PLTE chunk) is wrong" in str(refused(wrong))
    end = palette.index(b"IDAT") - 4
    assert "it has no palette" in str(refused(palette[: place - 4] + palette[end:]))
    assert "it has no pixels" in str(refused(picture[:33] + chunk(b"IEND", b"")))
    assert "cut off" in str(refused(picture[:40]))
    assert "cut off" in str(refused(picture[:20]))
    packed = zlib.compress(b"too few pixels")
    assert "damaged: its pixels" in str(
        refused(picture[:33] + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
    )


def test_a_header_of_what_there_is_not_is_refused(picture: bytes) -> None:
    for depth, colour in ((3, 0), (8, 5), (16, 3)):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, depth, colour, 0, 0, 0))
        assert f"{depth} bits, colour type {colour}" in str(
            refused(PNG_SIGNATURE + header + picture[33:])
        )


def test_one_packed_into_an_app_is_named(picture: bytes) -> None:
    packed = PNG_SIGNATURE + chunk(b"CgBI", bytes(4)) + picture[8:]
    assert "packed into an app for iPhones" in str(refused(packed))


def test_the_end_may_be_missing_and_more_may_follow_it(picture: bytes) -> None:
    assert same(picture[:-12], picture)
    assert same(picture + b"more" * 100, picture)


def test_an_animation_is_taken_by_its_still_image() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    animated = saved(frames[0], save_all=True, append_images=frames[1:])
    assert decode(animated)[0, 0].tolist() == [255, 0, 0, 255]


def test_pixels_in_many_pieces_are_taken_and_in_very_many_refused(picture: bytes) -> None:
    place = picture.index(b"IDAT") - 4
    length = int.from_bytes(picture[place : place + 4], "big")
    packed, rest = picture[place + 8 : place + 8 + length], picture[place + 12 + length :]
    pieces = b"".join(chunk(b"IDAT", packed[at : at + 1]) for at in range(length))
    assert same(picture[:place] + pieces + rest, picture)
    empty = chunk(b"IDAT", b"") * 70_000
    assert refused(picture[:place] + empty + picture[place:]).code == "too_complex"


def test_sixteen_bits_of_grey_take_little_more_than_they_are() -> None:
    packer = zlib.compressobj()
    pixels = b"".join(packer.compress(bytes(10_001)) for _ in range(5000)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 5000, 5000, 16, 0, 0, 0, 0))
    content = PNG_SIGNATURE + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decode(content).shape == (1667, 1667, 4)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 130_000
