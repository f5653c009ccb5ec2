"""Drawings are told from photographs, however they come."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from inkling.images.decode import decode
from inkling.images.picture import SUREST, drawn
from inkling.images.preprocessing import PREPROCESSINGS
from PIL import Image

from ..pictures import DISGUISES, opened, saved

Drawings = dict[str, list[bytes]]


def under_a_lamp(content: bytes, chooser: np.random.Generator) -> bytes:
    """A drawing on warm paper, the light falling off, a shadow's edge, a strip of table."""
    side = 420
    grey = opened(content).resize((side, side), Image.Resampling.BICUBIC)
    ink = 1 - np.asarray(grey, np.float32)[..., None] / 255
    down, across = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
    light = (1 - 0.4 * across) * (1 - 0.3 * ((across - 0.5) ** 2 + (down - 0.5) ** 2))
    light *= 1 - 0.25 / (1 + np.exp((0.4 - down) / 0.02))
    shown = (0.92 * (1 - ink) + 0.2 * ink) * light[..., None]
    shown[:25] = 0.35 * (1 + 0.1 * chooser.standard_normal((25, side, 1)))
    warm = shown * (1, 0.93, 0.8) + 0.015 * chooser.standard_normal((side, side, 3))
    pixels = (255 * warm.clip(0, 1)).astype(np.uint8)
    return saved(Image.fromarray(pixels), "JPEG", quality=60)


def in_grey(content: bytes) -> bytes:
    return saved(opened(content))


def coloured(content: bytes) -> bytes:
    ink = np.asarray(opened(content), np.float32)[..., None] / 255
    pixels = np.array([250, 230, 160]) * ink + np.array([30, 60, 160]) * (1 - ink)
    return saved(Image.fromarray(pixels.astype(np.uint8)))


def small_on_a_screen(content: bytes) -> bytes:
    screen = Image.new("L", (800, 600), 255)
    screen.paste(opened(content), (600, 60))
    return saved(screen)


def mean_of(contents: list[bytes]) -> float:
    return sum(drawn(decode(content)) for content in contents) / len(contents)


@pytest.fixture
def one_of_each(drawings: Drawings) -> list[bytes]:
    return [contents[0] for contents in drawings.values()]


def test_clean_drawings_are_drawings_each_by_itself(one_of_each: list[bytes]) -> None:
    assert min(drawn(decode(content)) for content in one_of_each) > 0


@pytest.mark.parametrize(
    "disguise", [*DISGUISES.values(), coloured, small_on_a_screen], ids=lambda each: each.__name__
)
def test_disguised_drawings_are_drawings(disguise: object, one_of_each: list[bytes]) -> None:
    assert callable(disguise)
    assert mean_of([disguise(content) for content in one_of_each[:10]]) > 1


def test_drawings_photographed_under_a_lamp_are_drawings(one_of_each: list[bytes]) -> None:
    chooser = np.random.default_rng(0)
    taken = [under_a_lamp(content, chooser) for content in one_of_each]
    for start in range(0, len(taken), 5):
        assert mean_of(taken[start : start + 5]) > 0


def test_photographs_are_none_in_colour_grey_or_small(photographs: list[bytes]) -> None:
    for content in photographs:
        image = Image.open(io.BytesIO(content))
        small = saved(image.resize((24, 24)))
        for shown in (content, in_grey(content), small):
            assert drawn(decode(shown)) < 0


def test_an_object_on_white_is_no_stroke(photographs: list[bytes]) -> None:
    for content in photographs:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        sheet = Image.new("RGB", (2 * image.width, 2 * image.height), (255, 255, 255))
        sheet.paste(image, (image.width // 2, image.height // 2))
        assert drawn(decode(saved(sheet))) < 0


@pytest.mark.parametrize("shape", [(8, 8, 4), (8, 160, 4), (160, 8, 4), (300, 17, 4)])
@pytest.mark.parametrize("value", [0, 90, 255])
def test_any_shape_and_one_tone_get_a_number(shape: tuple[int, ...], value: int) -> None:
    assert abs(drawn(torch.full(shape, value, dtype=torch.uint8))) <= SUREST


def test_the_kinds_of_the_table_exclude_each_other(one_of_each: list[bytes]) -> None:
    rgba = decode(one_of_each[0])
    by_kind = {name: kind().resemblance(rgba) for name, kind in PREPROCESSINGS.items()}
    assert by_kind["drawing"] == -by_kind["photograph"] > 0
