"""What every preprocessing of the table holds to."""

from __future__ import annotations

import pytest
import torch
from inkling.images.decode import decode
from inkling.images.drawing import Drawing
from inkling.images.prepared import Gathered, Prepared, split
from inkling.images.preprocessing import PREPROCESSINGS, Packing, Preprocessing

from .levels import assert_same_levels

EVERY = pytest.mark.parametrize(
    "preprocessing", [kind() for kind in PREPROCESSINGS.values()], ids=[*PREPROCESSINGS]
)


@pytest.fixture
def rgba(drawings: dict[str, list[bytes]], photographs: list[bytes]) -> list[torch.Tensor]:
    contents = [images[0] for images in drawings.values()] + photographs
    return [decode(content) for content in contents]


def gathered(parts: list[Prepared]) -> Prepared:
    whole = Gathered(sum(len(part) for part in parts), parts[0])
    for part in parts:
        whole.add(part)
    return whole.whole()


@EVERY
def test_each_image_is_prepared_by_itself(
    preprocessing: Preprocessing, rgba: list[torch.Tensor]
) -> None:
    together = preprocessing.prepare(rgba)
    alone = gathered([preprocessing.prepare([image]) for image in rgba])
    assert torch.equal(together.images, alone.images)
    assert torch.equal(together.statistics, alone.statistics)
    assert together.blank == alone.blank == (False,) * len(rgba)
    assert together.statistics.shape == (len(rgba), len(preprocessing.statistic_names))
    assert torch.equal(together.statistics, preprocessing.statistics(together.images))
    first, rest = split(together, (2, len(rgba) - 2))
    assert torch.equal(gathered([first, rest]).images, together.images)
    assert (len(first.blank), len(rest.statistics)) == (2, len(rgba) - 2)


@EVERY
def test_what_is_fitted_to_images_is_applied_to_them_and_to_others_alike(
    preprocessing: Preprocessing, rgba: list[torch.Tensor]
) -> None:
    bare = preprocessing.prepare(rgba).images
    fitted = preprocessing.fitted([bare[:5], bare[5:]])
    normalized = fitted.normalized(bare)
    torch.testing.assert_close(fitted.prepare(rgba).images, normalized, rtol=0, atol=1e-5)


def test_drawings_get_mean_0_and_deviation_1(rgba: list[torch.Tensor]) -> None:
    bare = Drawing().prepare(rgba).images
    normalized = Drawing().fitted([bare]).normalized(bare)
    assert float(normalized.mean()) == pytest.approx(0, abs=1e-4)
    assert float(normalized.std()) == pytest.approx(1, abs=1e-4)


@EVERY
def test_the_kernel_gives_what_the_definition_says(
    preprocessing: Preprocessing, rgba: list[torch.Tensor]
) -> None:
    prepared = preprocessing.prepare(rgba).images
    for image, found in zip(rgba, prepared, strict=True):
        if isinstance(preprocessing, Packing):
            assert_same_levels(found, preprocessing(image))
        else:
            torch.testing.assert_close(found, preprocessing(image), rtol=0, atol=1e-4)


@EVERY
def test_an_empty_sheet_is_blank_and_all_background(
    preprocessing: Preprocessing, rgba: list[torch.Tensor]
) -> None:
    fitted = preprocessing.fitted([preprocessing.prepare(rgba).images])
    white = torch.full((60, 60, 4), 255, dtype=torch.uint8)
    sheet = fitted.prepare([white])
    assert sheet.blank == (True,)
    assert fitted.background.shape == (sheet.images.shape[1], 1, 1)
    background = fitted.background.expand_as(sheet.images[0])
    torch.testing.assert_close(sheet.images[0], background, rtol=0, atol=1e-4)
