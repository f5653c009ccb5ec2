"""The preprocessing of photographs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from inkling.images.decode import decode
from inkling.images.photograph import Photograph
from PIL import Image

from .levels import assert_same_levels


def rgba_of(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.fromarray(pixels).convert("RGBA")))


def test_the_window_is_seven_eighths_of_the_shorter_side_in_the_middle() -> None:
    pixels = np.zeros((80, 160, 3), np.uint8)
    pixels[5:75, 45:115] = 255
    shown = Photograph(size=70).prepare([rgba_of(pixels)]).images
    torch.testing.assert_close(shown, Photograph(size=70).background.expand_as(shown[0])[None])


@pytest.mark.parametrize("size", [(300, 200), (31, 50), (224, 224), (256, 256), (1000, 1300)])
def test_resampling_is_the_definitions(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*size, 4), dtype=np.uint8)
    rgba = torch.from_numpy(noise)
    found = Photograph(64).prepare([rgba]).images[0]
    assert_same_levels(found, Photograph(64)(rgba))


def test_bytes_keep_a_photograph_exactly(photographs: list[bytes]) -> None:
    for preprocessing in (Photograph(), Photograph(64, mean=118.3, std=57.1)):
        images = preprocessing.prepare([decode(content) for content in photographs]).images
        packed = preprocessing.packed(images)
        assert packed.dtype == torch.uint8
        assert torch.equal(preprocessing.unpacked(packed), images)


def test_reduction_does_not_alias() -> None:
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    shown = Photograph(size=50).prepare([rgba_of(stripes)]).images
    assert float(shown.std()) < 0.02


def test_transparent_pixels_lie_on_white() -> None:
    image = torch.zeros((40, 40, 4), dtype=torch.uint8)
    prepared = Photograph(size=32).prepare([image])
    torch.testing.assert_close(prepared.images[0], Photograph().background.expand(3, 32, 32))
    assert prepared.blank == (True,)


def test_one_tone_is_blank_and_a_faint_picture_is_not() -> None:
    even = np.full((40, 40, 3), 90, np.uint8)
    faint = even.copy()
    faint[10:20, 10:20] += 20
    prepared = Photograph(size=32).prepare([rgba_of(even), rgba_of(faint)])
    assert prepared.blank == (True, False)


def test_statistics_tell_colour_from_grey_and_white_ground_from_none() -> None:
    names = Photograph().statistic_names
    grey = np.tile(np.arange(64, dtype=np.uint8)[:, None, None], (1, 64, 3))
    red = grey.copy()
    red[..., 0] = 250
    white = np.full((64, 64, 3), 250, np.uint8)
    rows = Photograph(size=32).prepare([rgba_of(each) for each in (grey, red, white)]).statistics
    colour, ground = rows[:, names.index("colour")], rows[:, names.index("white")]
    assert float(colour[1]) > 0.5
    assert float(colour[0]) < 0.01
    assert ground.tolist() == [0.0, 0.0, 1.0]


def test_colours_may_each_have_a_mean_and_a_deviation() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)
    plain = Photograph(32, 0.0, 1.0)
    scaled = Photograph(32, (120.0, 110.0, 100.0), (60.0, 50.0, 40.0))
    rgba = rgba_of(noise)
    found, levels = scaled.prepare([rgba]), plain.prepare([rgba])
    for colour, (mean, std) in enumerate(((120.0, 60.0), (110.0, 50.0), (100.0, 40.0))):
        torch.testing.assert_close(found.images[0, colour], (levels.images[0, colour] - mean) / std)
    torch.testing.assert_close(found.images[0], scaled(rgba), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.statistics, levels.statistics, rtol=0, atol=1e-5)
    white = rgba_of(np.full((40, 40, 3), 255, np.uint8))
    shown = scaled.prepare([white]).images[0]
    torch.testing.assert_close(shown, scaled.background.expand(3, 32, 32))


def test_a_number_for_all_colours_is_the_same_as_three_alike() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (50, 40, 4), dtype=np.uint8)
    rgba = torch.from_numpy(noise)
    alike = Photograph(32, (100.0, 100.0, 100.0), (60.0, 60.0, 60.0))
    shown = Photograph(32, 100.0, 60.0).prepare([rgba])
    assert torch.equal(shown.images, alike.prepare([rgba]).images)
    assert torch.equal(shown.statistics, alike.prepare([rgba]).statistics)
