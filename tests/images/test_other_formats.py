"""GIF, BMP and WebP: what is left out of them, and what takes too long."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from inkling.images.decode import decode, decoding_bytes, read
from PIL import Image

from ..pictures import saved
from .files import exif, refused, same


@pytest.fixture
def picture() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def test_comments_of_a_gif_are_left_out(picture: Image.Image) -> None:
    gif = saved(picture.quantize(16), "GIF", transparency=3)
    start = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    comment = b"!\xfe" + b"\x05hello" * 1000 + b"\0"
    program = b"!\xff\x0bNETSCAPE2.0\x03\1\0\0\0"
    assert same(gif[:start] + comment + program + gif[start:], gif)
    assert int(decode(gif)[..., 3].min()) == 0
    endless = gif[:start] + b"!\xfe" + b"\1a" * 100_000 + b"\0" + gif[start:]
    assert refused(endless).code == "too_complex"
    assert "ends without an image" in str(refused(gif[:start] + b";"))
    assert "cut off" in str(refused(gif[: start + 5]))


def test_a_gif_is_as_large_as_its_frame_if_that_is_larger_than_its_screen(
    picture: Image.Image,
) -> None:
    gif = saved(picture.quantize(16), "GIF")
    small = gif[:6] + struct.pack("<HH", 1, 1) + gif[10:]
    assert same(small, gif)
    start = gif.index(b",", 13 + 3 * 2 ** ((gif[10] & 7) + 1))
    huge = gif[: start + 5] + struct.pack("<HH", 60_000, 60_000) + gif[start + 9 :]
    assert refused(huge).code == "too_many_pixels"


def packed_bmp(width: int, height: int, runs: bytes) -> bytes:
    palette = bytes(level for grey in range(256) for level in (grey, grey, grey, 0))
    size = 54 + len(palette) + len(runs)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<III", size, 0, 54 + len(palette)) + header + palette + runs


def test_run_lengths_of_a_bmp_are_unpacked_within_bounds() -> None:
    row = b"\x14\x07\0\0"
    assert decode(packed_bmp(20, 20, row * 20 + b"\0\1"))[3, 3].tolist() == [7, 7, 7, 255]
    for wide, runs in ((3000, b""), (2000, b"\1\5" * 600_000)):
        assert refused(packed_bmp(wide, wide, runs)).code == "too_complex"


def test_a_bmp_is_told_what_is_wrong(picture: Image.Image) -> None:
    bmp = saved(picture, "BMP")
    assert "cut off" in str(refused(bmp[:-5]))
    assert "cut off" in str(refused(bmp[:20]))
    assert "0 x 20 pixels" in str(refused(bmp[:18] + bytes(4) + bmp[22:]))
    embedded = bmp[:30] + struct.pack("<I", 4) + bmp[34:]
    assert "another image in place of pixels" in str(refused(embedded))


def test_a_bmp_that_is_stored_from_the_top_is_not_turned_over(picture: Image.Image) -> None:
    bmp = saved(picture, "BMP")
    down = bmp[:22] + struct.pack("<i", -20) + bmp[26:]
    assert torch.equal(decode(down), decode(bmp).flip(0))


@pytest.mark.parametrize("options", [{}, {"lossless": True}], ids=["lossy", "lossless"])
def test_a_webp_is_turned_and_measured_by_its_chunks(
    picture: Image.Image, options: dict[str, bool]
) -> None:
    webp = saved(picture, "WEBP", **options)
    turned = saved(picture, "WEBP", exif=b"Exif\0\0" + exif(6), **options)
    assert torch.equal(decode(turned), torch.rot90(decode(webp), -1, (0, 1)))
    assert (read(turned).width, read(webp).width) == (30, 30)
    assert "cut off" in str(refused(webp[:-50]))
    assert "does not begin with an image" in str(refused(webp[:12] + b"none" + webp[16:]))


def test_a_webp_takes_more_memory_and_may_have_fewer_pixels(picture: Image.Image) -> None:
    canvas = struct.pack("<I", 5120)[:3] + struct.pack("<I", 2880)[:3]
    extended = saved(picture, "WEBP", exif=exif(1))
    place = extended.index(b"VP8X") + 12
    huge = extended[:place] + canvas + extended[place + 6 :]
    assert "14,745,600 of a WEBP" in str(refused(huge))
    lossy, lossless = (read(saved(picture, "WEBP", lossless=each)) for each in (False, True))
    assert decoding_bytes(lossless) > decoding_bytes(lossy)
