from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from inkling.images.decode import decode
from inkling.images.fingerprints import alike, fingerprints, unknown
from inkling.kernels.fingerprint import CELLS, FAINTEST, FINENESS, LENGTH
from PIL import Image
from torch.nn import functional

from ..copied import COPIES
from ..pictures import saved, transparent

Drawings = dict[str, list[bytes]]


@pytest.fixture
def pictures(drawings: Drawings, photographs: list[bytes]) -> list[bytes]:
    return [*(content for images in drawings.values() for content in images[:3]), *photographs]


def of(contents: list[bytes]) -> torch.Tensor:
    return fingerprints([decode(content) for content in contents])


@pytest.mark.parametrize("copied", COPIES.values(), ids=[*COPIES])
def test_a_copy_is_like_its_picture_and_like_no_other(
    copied: Callable[[bytes], bytes], pictures: list[bytes]
) -> None:
    same = alike(of(pictures + [copied(content) for content in pictures]))
    once = np.eye(len(pictures), dtype=bool)
    assert np.array_equal(same, np.tile(once, (2, 2)))


def test_an_image_has_the_fingerprint_that_it_has_alone(pictures: list[bytes]) -> None:
    together = of(pictures)
    assert (together.shape, together.dtype) == ((len(pictures), LENGTH), torch.int8)
    for place in (0, 10, -1):
        assert torch.equal(of([pictures[place]])[0], together[place])


def test_a_photograph_of_many_pixels_is_like_the_same_decoded_small(
    photographs: list[bytes],
) -> None:
    large = Image.fromarray(decode(photographs[0]).numpy()).convert("RGB").resize((3000, 2000))
    content = saved(large, "JPEG")
    assert alike(fingerprints([decode(content), decode(content, 256)])).all()


@pytest.mark.parametrize("tone", [0, 128, 255])
def test_plain_images_tell_nothing(tone: int) -> None:
    plain = torch.full((50, 70, 4), 255, dtype=torch.uint8)
    plain[..., :3] = tone
    assert torch.equal(fingerprints([plain]), unknown(1))
    assert not alike(fingerprints([plain, plain])).any()


def test_light_that_falls_off_tells_nothing() -> None:
    light = torch.linspace(40, 240, 90).to(torch.uint8).reshape(1, 90, 1).repeat(60, 1, 4)
    light[..., 3] = 255
    assert not alike(fingerprints([light, light, light.flip(1)])).any()


def test_ink_is_seen_on_a_transparent_sheet(drawings: Drawings) -> None:
    first, second = (transparent(images[0]) for images in [*drawings.values()][:2])
    taken = of([first, second])
    assert alike(taken).tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize("size", [(8, 8), (105, 105), (30, 160), (500, 300)])
def test_the_kernel_is_the_definition(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(sum(size))
    rgba = torch.randint(0, 256, (*size, 4), generator=generator, dtype=torch.uint8)
    rgba[..., 3].masked_fill_(rgba[..., 3] > 100, 255)
    grey = rgba[..., :3].to(torch.float64) @ torch.tensor([0.299, 0.587, 0.114]).double()
    opacity = rgba[..., 3].to(torch.float64) / 255
    shown = grey * opacity + 128 * (1 - opacity)
    cells = _resampling(size[0]) @ shown @ _resampling(size[1]).T
    detail = cells[1:-1, 1:-1] - functional.avg_pool2d(cells[None], 3, 1)[0]
    around = functional.avg_pool2d(detail.square()[None], 3, 1, padding=1, count_include_pad=False)[
        0
    ]
    expected = (FINENESS * detail / (around + FAINTEST**2).sqrt()).round().flatten()
    found = fingerprints([rgba])[0].to(torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1)


def _resampling(length: int) -> torch.Tensor:
    """`(CELLS, length)`: a triangle filter as wide as the reduction."""
    step = length / CELLS
    middle = (torch.arange(CELLS).unsqueeze(1) + 0.5) * step
    distance = (torch.arange(length) + 0.5 - middle).abs().double()
    weights = (1 - distance / max(step, 1.0)).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)
