"""Drawings in uneven light come out as in even light, and those in even light as ever."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.episodes import ClassImages, EpisodePlan, EpisodeShape, plan_episode, seeded
from inkling.images.decode import decode
from inkling.images.drawing import Drawing
from inkling.images.paper import measure
from inkling.kernels import paper as kernel
from inkling.training.candidate import Inductive
from PIL import Image, ImageFilter, ImageOps

from ..lit import SCENES, Light, Scene, lamp, photographed, shadow, vignette, without_table

DRAWING = Drawing()
CELLS = 56


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("L")


def tight(image: Image.Image) -> Image.Image:
    return image.crop(ImageOps.invert(image).getbbox())


def thick(image: Image.Image, side: int = 15) -> Image.Image:
    return image.filter(ImageFilter.MinFilter(side))


def on_grey(image: Image.Image) -> Image.Image:
    """White ink on grey paper."""
    return image.point(lambda value: 255 - 105 * value // 255)


def grey(image: Image.Image) -> Image.Image:
    """Broad ink of a middle grey on white paper, up to the edges of the sheet."""
    return tight(thick(image)).point(lambda value: 150 + 105 * value // 255)


def scanned(image: Image.Image) -> Image.Image:
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(1)), np.float64)
    noise = np.random.default_rng(0).normal(0, 4, blurred.shape)
    return Image.fromarray((blurred + noise).clip(0, 255).astype(np.uint8))


def table_and_ink(image: Image.Image) -> Image.Image:
    """A drawing that fills its sheet, with a straight line down all of its left side."""
    lined = tight(image).resize((90, 90))
    lined.paste(0, (0, 0, 8, 90))
    return lined


EVEN: dict[str, Callable[[Image.Image], Image.Image]] = {
    change.__name__: change
    for change in (tight, thick, on_grey, grey, scanned, table_and_ink, ImageOps.invert)
} | {"as it is": lambda image: image, "tight and inverted": lambda i: ImageOps.invert(tight(i))}


def cells_of(image: Image.Image) -> torch.Tensor:
    shown = image.resize((CELLS, CELLS), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(shown, np.float32) / 255)


def few(drawings: dict[str, list[bytes]], step: int = 15) -> list[Image.Image]:
    return [opened(content) for contents in drawings.values() for content in contents[::step]]


def prepared(contents: Sequence[bytes]) -> torch.Tensor:
    return DRAWING.prepare([decode(content) for content in contents]).images


@pytest.mark.parametrize("change", EVEN.values(), ids=EVEN)
def test_in_even_light_paper_has_one_tone(
    drawings: dict[str, list[bytes]], change: Callable[[Image.Image], Image.Image]
) -> None:
    whole = torch.ones(CELLS, CELLS)
    for image in few(drawings):
        shown = cells_of(change(image))
        assert float(measure(shown.unsqueeze(0), whole.unsqueeze(0)).share) == 0
        assert kernel.measure(shown.numpy(), whole.numpy())[0] == 0


def test_a_quick_look_says_even_of_nearly_all_drawings_and_of_none_in_uneven_light(
    drawings: dict[str, list[bytes]],
) -> None:
    whole, random = np.ones((CELLS, CELLS), np.float32), np.random.default_rng(0)

    def even(image: Image.Image) -> bool:
        shown = cells_of(image).numpy()
        return bool(kernel.is_even(shown, whole, float(shown.min()), float(shown.max())))

    images = few(drawings)
    assert np.mean([even(image) for image in images]) >= 0.99
    for kind in ("lamp", "shadow", "vignette", "table"):
        lit = [opened(photographed(image, SCENES[kind], random)) for image in images]
        assert not any(map(even, lit))


@pytest.mark.parametrize("kind", SCENES)
def test_ink_is_the_same_in_any_light(drawings: dict[str, list[bytes]], kind: str) -> None:
    random = np.random.default_rng(0)
    scene = without_table(SCENES[kind])
    images = few(drawings, 15)
    plain = prepared([photographed(image, Scene(size=scene.size), random) for image in images])
    lit = prepared([photographed(image, scene, random) for image in images])
    off = (plain - lit).abs().mean((1, 2, 3))
    assert float(off.median()) < 0.015
    assert float(off.quantile(0.95)) < 0.04


@pytest.mark.parametrize("side", range(4))
@pytest.mark.parametrize("lights", [[], [lamp], [vignette]], ids=["even", "lamp", "vignette"])
def test_a_strip_of_table_is_no_ink(
    drawings: dict[str, list[bytes]], side: int, lights: Sequence[Light]
) -> None:
    random = np.random.default_rng(side)
    # Drawn small, so that the table hides nothing of it.
    images = [ImageOps.expand(image, 25, 255) for image in few(drawings, 15)]
    scene = Scene(lights, table=0.15)
    lit = prepared([photographed(image, scene, random, side) for image in images])
    plain = prepared([photographed(image, Scene(), random) for image in images])
    assert float((plain - lit).abs().mean((1, 2, 3)).quantile(0.95)) < 0.03


def test_a_sheet_without_ink_is_blank_in_any_light() -> None:
    random, sheet = np.random.default_rng(0), Image.new("L", (105, 105), 255)
    for scene in (Scene([lamp], noise=0.01), Scene([vignette], warm=True), Scene([lamp, vignette])):
        content = photographed(sheet, scene, random)
        assert DRAWING.prepare([decode(content)]).blank == (True,)


def test_what_has_transparent_pixels_was_not_photographed(
    drawings: dict[str, list[bytes]],
) -> None:
    image = few(drawings)[0]
    rgba = decode(photographed(image, Scene([lamp]), np.random.default_rng(0)))
    by_light = DRAWING.prepare([rgba]).images
    rgba[0, 0, 3] = 254
    by_one_tone = DRAWING.prepare([rgba]).images
    assert float((by_light - by_one_tone).abs().mean()) > 0.03
    torch.testing.assert_close(by_one_tone[0], DRAWING(rgba), rtol=0, atol=2e-4)


@pytest.mark.parametrize("kind", SCENES)
def test_pictures_in_any_light_are_preprocessed_as_defined(
    drawings: dict[str, list[bytes]], kind: str
) -> None:
    random = np.random.default_rng(1)
    for size in (28, 32):
        drawing = Drawing(size, 4.4, 0.1, 0.3)
        for image in few(drawings, 20):
            wide = ImageOps.expand(image, (int(random.integers(60)), 0), 255)
            rgba = decode(photographed(wide, SCENES[kind], random))
            inputs = drawing.prepare([rgba]).images[0]
            torch.testing.assert_close(inputs, drawing(rgba), rtol=0, atol=2e-3)


@pytest.mark.parametrize("kind", SCENES)
def test_characters_are_recognised_in_any_light(
    drawings: dict[str, list[bytes]], checkpoint: Checkpoint, classes: ClassImages, kind: str
) -> None:
    """5-way 1-shot; the support set lies in that light too, or in even light."""
    random = np.random.default_rng(0)
    drawn = {name: contents[:6] for name, contents in drawings.items()}
    lit = [
        checkpoint.preprocessing.prepare(
            [decode(photographed(opened(each), SCENES[kind], random)) for each in contents]
        ).images
        for contents in drawn.values()
    ]
    plain = [images[:6] for images in classes.images]
    both = ClassImages(
        classes.names,
        classes.groups,
        tuple(torch.cat(pair) for pair in zip(plain, lit, strict=True)),
    )
    candidate = Inductive(checkpoint.network, checkpoint.initialization, both)
    for support_lit in (True, False):
        assert accuracy(candidate, 6, support_lit) >= 0.85


@torch.no_grad()
def accuracy(candidate: Inductive, n_images: int, support_lit: bool) -> float:
    """On 12 episodes whose queries are lit: each class has so many images, then these lit."""
    right = []
    for number in range(12):
        drawn = plan_episode(
            [n_images] * len(candidate.classes.names),
            EpisodeShape.fixed(5, 1, 5),
            seeded(0, number),
        )
        query = tuple(tuple(n_images + place for place in own) for own in drawn.query)
        support = tuple(
            tuple(n_images * support_lit + place for place in own) for own in drawn.support
        )
        plan = EpisodePlan(drawn.classes, support, query)
        *_, last = candidate.trajectory(plan, None)
        logits = candidate.logits(plan, last.fast_weights)
        right.append((logits.argmax(1) == plan.query_labels()).to(torch.float32))
    return float(torch.cat(right).mean())


def test_the_edge_of_a_shadow_is_no_edge_of_a_table(drawings: dict[str, list[bytes]]) -> None:
    random, whole = np.random.default_rng(0), torch.ones(1, CELLS, CELLS)
    for image in few(drawings):
        lit = opened(photographed(image, Scene([shadow]), random))
        assert not bool(measure(cells_of(lit).unsqueeze(0), whole).table.any())
