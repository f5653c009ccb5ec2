"""JPEGs as cameras write them, and as somebody writes them to keep a server busy."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from inkling.images.decode import decode, read
from PIL import Image

from ..pictures import huge_jpeg, saved
from .files import exif, jpeg_with, refused, same, segment

SCAN = b"\xff\xda"


@pytest.fixture
def picture() -> bytes:
    across = np.linspace(0, 255, 40, dtype=np.uint8)
    return saved(Image.fromarray(np.stack([np.tile(across, (30, 1))] * 3, 2)), "JPEG")


@pytest.fixture
def progressive() -> bytes:
    return saved(Image.linear_gradient("L"), "JPEG", progressive=True)


def test_the_header_tells_whether_it_is_decoded_row_by_row(
    picture: bytes, progressive: bytes
) -> None:
    scan = picture.index(SCAN)
    assert read(picture).one_scan
    assert read(picture[:2] + b"\xff\xff" + picture[2:]).one_scan
    assert not read(progressive).one_scan
    assert not read(picture[: scan + 4] + b"\1" + picture[scan + 5 :]).one_scan
    assert "cut off" in str(refused(picture[:scan]))


def test_what_phones_put_into_a_file_does_no_harm(picture: bytes) -> None:
    thumbnail = segment(0xE1, b"Exif\0\0" + exif(1) + picture)
    extended = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60_000)) * 40
    comment = segment(0xFE, b"\xff\xd9\xff\xda")
    broken = segment(0xE2, b"MPF\0broken") + segment(0xED, b"Photoshop 3.0\0" + b"8BIM" * 3)
    found = jpeg_with(picture, thumbnail, extended, comment, broken)
    assert same(found + b"a video, or a map of light" + picture, picture)
    several = saved(Image.new("RGB", (20, 20), "red"), "MPO", save_all=True)
    assert decode(several).shape == (20, 20, 4)


@pytest.mark.parametrize("missing", [1, 2])
def test_the_end_may_be_missing(picture: bytes, missing: int) -> None:
    assert same(picture[:-missing], picture)


def test_a_file_that_is_cut_off_is_told_to_be(picture: bytes, progressive: bytes) -> None:
    for cut in (picture[:-100], progressive[:-40], picture[:300]):
        assert str(refused(cut)) == ("the JPEG is cut off: it ends before all of its pixels came")


def test_exif_turns_it_even_behind_many_entries(picture: bytes) -> None:
    entry = struct.pack(">HHII", 0x9999, 7, 60_000, 0)
    told = segment(0xE1, b"Exif\0\0" + exif(8, [entry] * 5000))
    turned = torch.rot90(decode(picture), 1, (0, 1))
    assert torch.equal(decode(jpeg_with(picture, told)), turned)


def with_scans(content: bytes, number: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    last, end = content.rindex(SCAN), content.rindex(b"\xff\xd9")
    return content[:end] + content[last:end] * number + content[end:]


def test_more_scans_than_any_encoder_writes_are_refused(progressive: bytes) -> None:
    found = refused(with_scans(progressive, 60_000))
    assert found.code == "too_complex"
    assert "expected at most 100 scans of 65,536 pixels" in str(found)
    assert same(with_scans(progressive, 20), progressive)
    large = huge_jpeg(5000, 5000, progressive=True)
    assert "at most 20 scans of 25,000,000 pixels" in str(refused(with_scans(large, 20)))


def test_what_only_looks_like_a_scan_is_none(progressive: bytes) -> None:
    end = progressive.rindex(b"\xff\xd9")
    comment = segment(0xFE, SCAN * 1000)
    assert same(progressive[:end] + comment + progressive[end:] + SCAN * 1000, progressive)


def test_headers_that_are_endless_are_refused(picture: bytes) -> None:
    table = segment(0xDB, (b"\0" + b"\1" * 64) * 1000)
    for many in (segment(0xFE, b"") * 20_000, table * 3):
        assert refused(jpeg_with(picture, many)).code == "too_complex"


def test_a_header_that_is_wrong_is_told_what_is(picture: bytes) -> None:
    frame = picture.index(b"\xff\xc0")
    length = int.from_bytes(picture[frame + 2 : frame + 4], "big")
    own = picture[frame : frame + 2 + length]
    for wrong, told in (
        (own * 2, "it tells its size twice"),
        (b"", "its pixels come before its size"),
        (own[:4] + b"\x0c" + own[5:], "expected 8 bits a colour of a JPEG, got 12"),
        (own[:5] + b"\0\0" + own[7:], "40 x 0 pixels"),
        (own[:9] + b"\2" + own[10:], "1, 3 or 4 colours, got 2"),
        (own[:11] + b"\0" + own[12:], "in steps that there are not"),
    ):
        content = picture[:frame] + wrong + picture[frame + 2 + length :]
        assert told in str(refused(content))
    swapped = picture[:frame] + own[:5] + bytes([0, 8, 0, 8]) + own[9:]
    assert refused(swapped + b"\xff\xd8" + picture).code == "damaged"
