"""Colour profiles that would take long, or much memory, to read."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from inkling.images.profile import in_srgb
from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_tag(name: bytes, content: bytes) -> bytes:
    """A profile like sRGB's under another name, with one more tag."""
    (count,) = struct.unpack_from(">I", SRGB, 128)
    tags = []
    for number in range(count):
        tag, at, length = struct.unpack_from(">4sII", SRGB, 132 + 12 * number)
        tags.append((tag, SRGB[at : at + length].replace(b"\0s\0R\0G\0B", b"\0t\0e\0s\0t")))
    tags.append((name, content))
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, data in tags:
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    return struct.pack(">I", start + len(body)) + SRGB[4:128] + table + body


def steps(number: int) -> bytes:
    """So many matrices, one behind another, that each halve all colours."""
    halves = [0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0]
    matrix = b"matf" + bytes(4) + struct.pack(">HH12f", 3, 3, *halves)
    places = struct.pack(">II", 16 + 8 * number, len(matrix)) * number
    return b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, number) + places + matrix


def table(points: int) -> bytes:
    unit = struct.pack(">9i", 65_536, 0, 0, 0, 65_536, 0, 0, 0, 65_536)
    return b"mft2" + bytes(4) + bytes([3, 3, points, 0]) + unit + struct.pack(">HH", 2, 2)


def curves(points: int) -> bytes:
    places = struct.pack(">5I", 0, 0, 0, 32, 0)
    return b"mAB " + bytes(4) + bytes([3, 3, 0, 0]) + places + bytes([points] * 3) + bytes(17)


@pytest.mark.parametrize(
    ("name", "tag"),
    [(b"D2B0", steps(20_000)), (b"A2B0", table(255)), (b"A2B0", curves(255)), (b"A2B0", b"mft2")],
    ids=["steps", "table", "curves", "cut off"],
)
def test_what_costs_more_than_it_is_large_is_not_read(name: bytes, tag: bytes) -> None:
    red = Image.new("RGB", (20, 20), (200, 10, 30))
    assert in_srgb(red, with_tag(name, tag)).getpixel((0, 0)) == (200, 10, 30)


def test_a_sound_one_is_applied() -> None:
    grey = Image.new("RGB", (20, 20), (200, 200, 200))
    found = in_srgb(grey, with_tag(b"D2B0", steps(2)))
    assert np.asarray(found).max() < 200


@pytest.mark.parametrize("profile", [b"", b"no profile", SRGB[:140], SRGB])
def test_none_a_broken_one_and_its_own_change_nothing(profile: bytes) -> None:
    image = Image.new("RGB", (20, 20), (200, 10, 30))
    assert in_srgb(image, profile).getpixel((0, 0)) == (200, 10, 30)
