from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from inkling.images.decode import decode
from inkling.images.drawing import Drawing, _pixels, _resampling
from PIL import Image, ImageOps

DRAWING = Drawing()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("L")


def rgba_of(image: Image.Image) -> torch.Tensor:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return decode(buffer.getvalue())


def preprocessed(image: Image.Image) -> torch.Tensor:
    return DRAWING(rgba_of(image))


def is_blank(image: Image.Image) -> bool:
    return DRAWING.prepare([rgba_of(image)]).blank == (True,)


@pytest.fixture
def plain(drawings: dict[str, list[bytes]]) -> Image.Image:
    return opened(drawings["Tengwar_01"][0])


def assert_alike(one: torch.Tensor, other: torch.Tensor, within: float) -> None:
    assert float((one - other).abs().mean()) < within


def test_ink_is_one_and_paper_zero(plain: Image.Image) -> None:
    ink = preprocessed(plain)
    assert ink.shape == (1, 28, 28)
    assert ink.dtype == torch.float32
    assert float(ink.min()) == 0
    assert float(ink.max()) == pytest.approx(1)


def test_polarity_does_not_matter(plain: Image.Image) -> None:
    assert_alike(preprocessed(plain), preprocessed(ImageOps.invert(plain)), 1e-5)


@pytest.mark.parametrize("dark_paper", [True, False])
def test_ink_on_a_transparent_ground_is_ink(plain: Image.Image, dark_paper: bool) -> None:
    ink = ImageOps.invert(plain)
    color = 255 if dark_paper else 0
    sheet = Image.merge("LA", (Image.new("L", plain.size, color), ink))
    assert_alike(preprocessed(plain), preprocessed(sheet), 1e-5)


def test_transparent_corners_of_a_sheet_are_paper(plain: Image.Image) -> None:
    for sheet in (plain, ImageOps.invert(plain)):
        alpha = Image.new("L", plain.size, 255)
        alpha.paste(0, (0, 0, 12, 12))
        cornered = Image.merge("LA", (sheet, alpha))
        assert_alike(preprocessed(plain), preprocessed(cornered), 1e-5)


def test_colour_and_contrast_do_not_matter(plain: Image.Image) -> None:
    pale = ImageOps.colorize(plain, (120, 60, 160), (230, 220, 180))
    assert_alike(preprocessed(plain), preprocessed(pale), 0.01)


@pytest.mark.parametrize("side", [64, 300, 1000])
def test_size_does_not_matter(plain: Image.Image, side: int) -> None:
    resized = plain.resize((side, side), Image.Resampling.BICUBIC)
    assert_alike(preprocessed(plain), preprocessed(resized), 0.02)


@pytest.mark.parametrize("corner", [(0, 0), (700, 100), (1000, 1000)])
def test_where_on_the_sheet_the_drawing_lies_does_not_matter(
    plain: Image.Image, corner: tuple[int, int]
) -> None:
    sheet = Image.new("L", (1200, 1200), 255)
    sheet.paste(plain, corner)
    assert_alike(preprocessed(plain), preprocessed(sheet), 0.02)


def test_the_shape_of_the_sheet_does_not_matter(plain: Image.Image) -> None:
    sheet = Image.new("L", (400, 150), 255)
    sheet.paste(plain, (200, 20))
    assert_alike(preprocessed(plain), preprocessed(sheet), 0.02)


def test_turning_the_sheet_turns_the_result(plain: Image.Image) -> None:
    turned = preprocessed(plain.rotate(90, expand=True))
    assert_alike(torch.rot90(preprocessed(plain), 1, (1, 2)), turned, 1e-5)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_sheet_is_blank_and_said_to_be(level: int) -> None:
    noise = np.random.default_rng(0).integers(-2, 3, (105, 105))
    sheet = Image.fromarray(np.clip(level + noise, 0, 255).astype(np.uint8))
    assert is_blank(sheet)


def test_a_drawing_is_not_blank(drawings: dict[str, list[bytes]]) -> None:
    for contents in drawings.values():
        assert DRAWING.prepare([decode(contents[0])]).blank == (False,)


def test_a_transparent_sheet_without_ink_is_blank() -> None:
    assert is_blank(Image.new("RGBA", (50, 50), (0, 0, 0, 0)))


def test_the_statistics_of_an_even_image_are_its_tone() -> None:
    flat = DRAWING.statistics(torch.full((1, 1, 28, 28), 0.5))
    torch.testing.assert_close(flat, torch.tensor([[0.5, 0.0, 0.0, 0.0, 0.5]]))


def test_resampling_is_the_antialiased_triangle_filter_of_torch() -> None:
    image = torch.rand((90, 90), generator=torch.Generator().manual_seed(0))
    centre, width = torch.tensor([[45.0]]), torch.tensor([[90.0]])
    rows, columns = (
        _resampling(_pixels(image[None], axis), centre, width, 30)[0] for axis in (1, 2)
    )
    expected = torch.nn.functional.interpolate(
        image[None, None], (30, 30), mode="bilinear", antialias=True, align_corners=False
    )[0, 0]
    # At the edges torch renormalises; here what lies beyond the sheet is left to the frame.
    torch.testing.assert_close((rows @ image @ columns.T)[1:-1, 1:-1], expected[1:-1, 1:-1])


@pytest.mark.parametrize("size", [28, 32])
def test_images_of_all_sizes_and_grounds_are_preprocessed_as_defined(
    drawings: dict[str, list[bytes]], photographs: list[bytes], size: int
) -> None:
    drawing = Drawing(size, 4.4, 0.1, 0.3)
    contents = [image for images in drawings.values() for image in images[:3]] + photographs
    images = []
    for position, content in enumerate(contents):
        rgba = decode(content)[: 84 - position % 4]
        if position % 3 == 0:
            rgba[..., 3] = 255 - rgba[..., 0]
        images.append(rgba)
    prepared = drawing.prepare(images).images
    assert prepared.shape == (len(images), 1, size, size)
    for image, inputs in zip(images, prepared, strict=True):
        torch.testing.assert_close(inputs, drawing(image), rtol=0, atol=2e-4)
        assert torch.equal(drawing.prepare([image]).images[0], inputs)


@pytest.mark.parametrize("dark_first", [True, False])
@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (29, 56), (8, 160), (105, 60)])
def test_a_sheet_half_black_and_half_white_has_light_paper(
    shape: tuple[int, int], dark_first: bool
) -> None:
    rgba = torch.full((*shape, 4), 255, dtype=torch.uint8)
    half = shape[1] // 2
    rgba[:, :half, :3] = 0 if dark_first else 255
    rgba[:, half:, :3] = 255 if dark_first else 0
    torch.testing.assert_close(DRAWING.prepare([rgba]).images[0], DRAWING(rgba), rtol=0, atol=1e-4)


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("opacity", [0, 128, 255])
def test_a_sheet_of_one_tone_is_preprocessed_as_defined(level: int, opacity: int) -> None:
    rgba = torch.full((40, 61, 4), level, dtype=torch.uint8)
    rgba[..., 3] = opacity
    torch.testing.assert_close(DRAWING.prepare([rgba]).images[0], DRAWING(rgba), rtol=0, atol=1e-5)
