"""The script that goes with an ONNX file decodes as a server does."""

from __future__ import annotations

import io

import pytest
import torch
from inkling.errors import BadImage
from inkling.export.classify import pixels
from inkling.images.decode import decode
from PIL import Image

from ..odd_pictures import SAVED
from ..pictures import huge_jpeg, huge_png, saved

REFUSED = {
    "no image": b"%PDF-1.7 and so on",
    "small": saved(Image.new("L", (7, 100))),
    "narrow": saved(Image.new("L", (10, 300))),
    "too many pixels": huge_png(5100),
    "progressive, too many pixels": huge_jpeg(5200, 5000, progressive=True),
    "cut off": saved(Image.linear_gradient("L"), "BMP")[:5000],
}


@pytest.mark.parametrize("useful_side", [256, None])
@pytest.mark.parametrize("name", SAVED)
def test_pixels_are_those_of_the_server(
    name: str, useful_side: int | None, photographs: list[bytes]
) -> None:
    content = SAVED[name](Image.open(io.BytesIO(photographs[0])).convert("RGB"))
    found = torch.from_numpy(pixels(content, useful_side))
    assert torch.equal(found, decode(content, useful_side))


def test_a_jpeg_of_two_hundred_megapixels_is_decoded_at_a_fraction() -> None:
    content = huge_jpeg(16_384, 12_200, "RGB")
    assert torch.equal(torch.from_numpy(pixels(content, None)), decode(content))


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_server_refuses_is_refused(name: str) -> None:
    with pytest.raises(BadImage):
        decode(REFUSED[name])
    with pytest.raises((ValueError, OSError)):
        pixels(REFUSED[name], None)
