"""Images that viewers show nothing of, because of how they were saved."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from inkling.images.decode import decode
from inkling.images.drawing import Drawing
from PIL import Image

from ..pictures import opened, saved


@pytest.fixture
def ink(drawings: dict[str, list[bytes]]) -> Image.Image:
    return opened(drawings["Keble_01"][0])


def greys(content: bytes) -> torch.Tensor:
    return decode(content)[..., 0]


def transparent_bmp(image: Image.Image) -> bytes:
    """Thirty-two bits a pixel, of which those for opacity are all 0."""
    pixels = np.asarray(image.convert("RGBA"))[::-1].copy()
    pixels[..., 3] = 0
    header = struct.pack("<IiiHHIIiiII", 108, *image.size, 1, 32, 3, 0, 0, 0, 0, 0)
    header += struct.pack("<4I", 0xFF, 0xFF00, 0xFF0000, 0xFF000000) + bytes(52)
    return b"BM" + struct.pack("<III", 0, 0, 14 + len(header)) + header + pixels.tobytes()


def test_what_is_transparent_everywhere_is_taken_as_opaque(ink: Image.Image) -> None:
    assert torch.equal(decode(transparent_bmp(ink)), decode(saved(ink)))
    hidden = ink.convert("RGBA")
    hidden.putalpha(0)
    assert torch.equal(decode(saved(hidden)), decode(saved(ink)))
    hidden.putpixel((3, 3), (1, 2, 3, 1))
    assert int(decode(saved(hidden))[..., 3].max()) == 1


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA"])
def test_a_mask_of_0_and_1_is_shown(ink: Image.Image, mode: str) -> None:
    mask = (np.asarray(ink) > 127).astype(np.uint8)
    content = saved(Image.fromarray(mask).convert(mode))
    assert torch.equal(greys(content), torch.from_numpy(255 * mask))
    assert bool((decode(content)[..., 3] == 255).all())


@pytest.mark.parametrize(("highest", "shown"), [(255, 255), (200, 200), (1, 255), (1023, 255)])
def test_few_levels_in_sixteen_bits_are_shown(ink: Image.Image, highest: int, shown: int) -> None:
    values = (np.asarray(ink) > 127).astype(np.uint16) * highest
    found = greys(saved(Image.fromarray(values)))
    assert sorted(set(found.flatten().tolist())) == [0, shown]
    prepared = Drawing().prepare([decode(saved(Image.fromarray(values)))])
    assert prepared.blank == (False,)


def test_what_shows_anything_stays_as_it_is(ink: Image.Image) -> None:
    mask = np.asarray(ink) > 127
    for highest in (2, 5, 12, 255):
        assert int(greys(saved(Image.fromarray(mask.astype(np.uint8) * highest))).max()) == highest
    for highest in (1024, 4095, 65_535):
        found = greys(saved(Image.fromarray(mask.astype(np.uint16) * highest)))
        assert int(found.max()) == round(highest / 257)


def test_a_black_sheet_stays_black() -> None:
    for image in (Image.new("L", (20, 20)), Image.new("I;16", (20, 20)), Image.new("P", (20, 20))):
        assert int(greys(saved(image)).max()) == 0
    assert int(greys(saved(Image.new("RGB", (20, 20), (1, 1, 1)), "JPEG")).max()) == 1
