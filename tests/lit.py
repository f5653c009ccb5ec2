"""Drawings as a phone takes them: under a lamp, in a shadow, in warm light, on a table."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Plane = NDArray[np.float64]
Light = Callable[[Plane, Plane, np.random.Generator], Plane]
WARM = (1.0, 0.85, 0.6)
TABLES = ((0.0, 0.0, 0.0), (0.1, 0.06, 0.04), (0.35, 0.22, 0.12), (0.15, 0.15, 0.16))
"""Black, dark and light wood, slate: red, green and blue in linear light, paper being 0.86."""


@dataclass(frozen=True)
class Scene:
    """What light falls on a sheet, and what else there is of a picture.

    ``lights`` take the place down and across, each in -0.5..0.5, and give the light in 0..1.
    ``table`` is the share of the picture that a strip of table takes, ``linear`` whether light is
    multiplied as it is or, as pictures keep it, by its root. ``noise`` is in 0..1, ``size`` the
    width and height in pixels (those of the drawing if None), ``blur`` a radius in them.
    """

    lights: Sequence[Light] = ()
    warm: bool = False
    table: float = 0.0
    linear: bool = True
    size: tuple[int, int] | None = None
    noise: float = 0.0
    blur: float = 0.0
    jpeg: bool = False


def lamp(down: Plane, across: Plane, random: np.random.Generator) -> Plane:
    """Light that falls by 45 % from one side or corner to the other."""
    angle = random.uniform(0, 2 * np.pi)
    along, across_it = np.cos(angle), np.sin(angle)
    place = (across * along + down * across_it) / (abs(along) + abs(across_it)) + 0.5
    fallen: Plane = 1 - 0.45 * place
    return fallen


def shadow(down: Plane, across: Plane, random: np.random.Generator) -> Plane:
    """A shadow with a soft edge that takes 45 % of the light."""
    angle = random.uniform(0, 2 * np.pi)
    place = across * np.cos(angle) + down * np.sin(angle) - random.uniform(-0.3, 0.3)
    fallen: Plane = 1 - 0.45 / (1 + np.exp(-place / random.uniform(0.015, 0.06)))
    return fallen


def vignette(down: Plane, across: Plane, _: np.random.Generator) -> Plane:
    """Corners with half of the light."""
    return 1 - 0.5 * (down**2 + across**2) / 0.5


SCENES = {
    "lamp": Scene([lamp]),
    "lamp, not linear": Scene([lamp], linear=False),
    "shadow": Scene([shadow]),
    "shadow, not linear": Scene([shadow], linear=False),
    "vignette": Scene([vignette]),
    "vignette, not linear": Scene([vignette], linear=False),
    "warm": Scene(warm=True),
    "table": Scene(table=0.12),
    "table, not linear": Scene(table=0.12, linear=False),
    "lamp, warm, table": Scene(
        [lamp], warm=True, table=0.1, size=(210, 210), noise=0.02, blur=0.7, jpeg=True
    ),
    "all": Scene([lamp, shadow, vignette], warm=True, table=0.1),
    "phone": Scene([lamp], warm=True, table=0.1, size=(520, 390), noise=0.02, blur=1.5, jpeg=True),
}


def photographed(
    drawing: Image.Image, scene: Scene, random: np.random.Generator, side: int | None = None
) -> bytes:
    """A picture of a drawing, its sheet filled up to the size of the scene.

    The table lies along ``side``, 0 to 3, a drawn one if None.
    """
    width, height = scene.size or drawing.size
    sheet = Image.new("L", (width, height), 255)
    drawn = drawing.convert("L").resize((min(width, height),) * 2, Image.Resampling.BICUBIC)
    sheet.paste(drawn, ((width - drawn.width) // 2, (height - drawn.height) // 2))
    # Ink reflects 6 % of the light and paper 86 %.
    reflected = 0.06 + 0.8 * _linear(np.asarray(sheet, np.float64)[..., None] / 255)
    seen = reflected.repeat(3, 2)
    down, across = (
        place / length - 0.5
        for place, length in zip(np.mgrid[0.5:height, 0.5:width], (height, width), strict=True)
    )
    if scene.table:
        side = int(random.integers(4)) if side is None else side
        along, towards = ((down, across), (across, down))[side // 2]
        edge = 0.5 - scene.table + random.uniform(-0.03, 0.03) * along
        is_table = (towards if side % 2 else -towards) > edge
        grain = 1 + 0.15 * np.sin(40 * along + 30 * towards)
        tone = np.array(TABLES[random.integers(len(TABLES))])
        seen = np.where(is_table[..., None], tone * grain[..., None], seen)
    light = np.ones((height, width))
    for falls in scene.lights:
        light = light * falls(down, across, random)
    tint = np.array(WARM if scene.warm else (1.0, 1.0, 1.0))
    if scene.linear:
        shown = _kept(seen * light[..., None] * tint)
    else:
        shown = _kept(seen) * light[..., None] * _kept(tint)
    return _encoded(shown, scene, random)


def without_table(scene: Scene) -> Scene:
    """The same scene on a sheet that fills the picture."""
    return replace(scene, table=0.0)


def _encoded(shown: Plane, scene: Scene, random: np.random.Generator) -> bytes:
    noisy = shown + random.normal(0, scene.noise, shown.shape) if scene.noise else shown
    image = Image.fromarray(np.round(255 * noisy.clip(0, 1)).astype(np.uint8))
    if scene.blur:
        image = image.filter(ImageFilter.GaussianBlur(scene.blur))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG" if scene.jpeg else "PNG")
    return buffer.getvalue()


def _linear(kept: Plane) -> Plane:
    """Light of what a picture keeps of it, both in 0..1 (sRGB, IEC 61966-2-1)."""
    return np.where(kept <= 0.04045, kept / 12.92, ((kept + 0.055) / 1.055) ** 2.4)


def _kept(light: Plane) -> Plane:
    return np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * light.clip(1e-9) ** (1 / 2.4) - 0.055
    )
