"""A photograph to a network's input: the middle of it, resampled without aliasing.

Part of an initialization, defined by tensor operations that ONNX has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from ..kernels.drawing import LUMINANCE
from .picture import drawn
from .prepared import Prepared

BLANK = 12.0
"""Levels of 255 between the darkest and the lightest pixel, below which nothing is shown."""
WHITE = 255.0
HALF_WAY = 1e-6
"""Levels within which a sum counts as half-way between two: more than doubles are off by."""
ByColour = float | tuple[float, float, float]
"""A number for all colours, or one each for red, green and blue."""
STATISTICS = ("mean", "deviation", "colour", "roughness", "white")
EIGHTHS = 7
"""The window's side as a share of the shorter side of the image, in eighths: what lies further
out is seldom what the photograph is of, and pre-training did not look at it either."""


@dataclass(frozen=True)
class Photograph:
    """A square window in the middle to `(3, size, size)` float32.

    Its side is seven eighths of the shorter side. Transparent pixels lie on white. Resampled levels
    are rounded to whole ones of 0..255, so that a byte keeps each exactly, and halves upwards; they
    are summed in double precision, so that whoever computes them gets the same whole ones. Values
    are (level - `mean`) / `std`, which the backbone's pre-training decides, for each of the colours
    red, green and blue, or for all alike.
    """

    size: int = 224
    mean: ByColour = 127.0
    std: ByColour = 128.0

    def __call__(self, rgba: torch.Tensor) -> torch.Tensor:
        """Turn `(..., height, width, 4)` uint8 RGBA into `(..., 3, size, size)` float32."""
        images = _on_white(rgba.reshape(-1, *rgba.shape[-3:]))
        down, across = (_resampling(images, axis, self.size) for axis in (2, 3))
        resampled = down @ images @ across.mT
        shape = (*rgba.shape[:-3], 3, self.size, self.size)
        return self._scaled(_whole(resampled)).reshape(shape)

    def prepare(self, images: Sequence[torch.Tensor]) -> Prepared:
        """See `Preprocessing`: the same by torch's own antialiased resampling."""
        prepared = torch.stack([self._resampled(image) for image in images])
        levels = self._shares(prepared)
        luminance = _luminance(levels)
        blank = luminance.amax((1, 2)) - luminance.amin((1, 2)) < BLANK / 255
        return Prepared(prepared, tuple(blank.tolist()), _describe(levels, luminance))

    @property
    def useful_side(self) -> int:
        """See `Preprocessing`."""
        return -(-8 * self.size // EIGHTHS)

    def resemblance(self, rgba: torch.Tensor) -> float:
        """See `Preprocessing`: what is no drawing is a photograph."""
        return -drawn(rgba)

    @property
    def statistic_names(self) -> tuple[str, ...]:
        """See `Preprocessing`."""
        return STATISTICS

    def statistics(self, images: torch.Tensor) -> torch.Tensor:
        """See `Preprocessing`: `(image, 5)`, of levels in 0..1.

        The mean and deviation of luminance, the mean distance between the colours of a pixel, the
        mean step between neighbours, and the share of pixels that are nearly white.
        """
        levels = self._shares(images)
        return _describe(levels, _luminance(levels))

    def fitted(self, images: Iterable[torch.Tensor]) -> Photograph:  # noqa: ARG002 - a protocol
        """See `Preprocessing`: mean and deviation are the backbone's, and stay."""
        return self

    def normalized(self, images: torch.Tensor) -> torch.Tensor:
        """See `Preprocessing`: there is nothing left to apply."""
        return images

    def packed(self, images: torch.Tensor) -> torch.Tensor:
        """See `Packing`: levels."""
        return (255 * self._shares(images)).round().to(torch.uint8)

    def unpacked(self, packed: torch.Tensor) -> torch.Tensor:
        """See `Packing`."""
        levels = packed.to(torch.float32)
        # In place, and the same numbers: of many images, others would take as much memory again.
        return levels.sub_(_by_colour(self.mean, levels)).div_(_by_colour(self.std, levels))

    @property
    def background(self) -> torch.Tensor:
        """See `Preprocessing`: white, `(3, 1, 1)`."""
        return self._scaled(torch.full((3, 1, 1), WHITE))

    def _resampled(self, rgba: torch.Tensor) -> torch.Tensor:
        height, width = rgba.shape[:2]
        side = _window(min(height, width))
        top, left = (height - side) // 2, (width - side) // 2
        window = rgba[top : top + side, left : left + side].unsqueeze(0)
        # Most photographs are opaque, and most of the time would go into white that is not seen.
        opaque = bool((window[..., 3] == 255).all())
        levels = _levels(window[..., :3]) if opaque else _on_white(window)
        resampled = functional.interpolate(
            levels,
            (self.size, self.size),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        return self._scaled(_whole(resampled))[0]

    def _shares(self, images: torch.Tensor) -> torch.Tensor:
        """Levels in 0..1 of preprocessed images."""
        return (images * _by_colour(self.std, images) + _by_colour(self.mean, images)) / 255

    def _scaled(self, levels: torch.Tensor) -> torch.Tensor:
        return (levels - _by_colour(self.mean, levels)) / _by_colour(self.std, levels)


def _window(shorter: int) -> int:
    """The side of the window, for an image whose shorter side is given."""
    return max(1, EIGHTHS * shorter // 8)


def _by_colour(value: ByColour, images: torch.Tensor) -> torch.Tensor:
    """`(1, 1, 1)` or `(3, 1, 1)`, beside `(..., 3, height, width)` images."""
    return torch.tensor(value, dtype=images.dtype, device=images.device).reshape(-1, 1, 1)


def _levels(pixels: torch.Tensor) -> torch.Tensor:
    """`(image, height, width, channel)` uint8 to `(image, channel, height, width)` float64."""
    return pixels.permute(0, 3, 1, 2).contiguous().to(torch.float64)


def _on_white(rgba: torch.Tensor) -> torch.Tensor:
    """`(image, height, width, 4)` uint8 to `(image, 3, height, width)` float64 of 0..255."""
    channels = rgba.permute(0, 3, 1, 2).to(torch.float32)
    opacity = channels[:, 3:]
    # Whole numbers, which half the memory keeps exactly.
    shown = channels[:, :3] * opacity + WHITE * (WHITE - opacity)
    return shown.to(torch.float64) / WHITE


def _whole(levels: torch.Tensor) -> torch.Tensor:
    """Float32 of whole levels: what is half-way between two to the rounding becomes the higher."""
    return (levels + (0.5 + HALF_WAY)).floor().to(torch.float32)


def _luminance(images: torch.Tensor) -> torch.Tensor:
    """`(image, 3, height, width)` to `(image, height, width)`."""
    weights = torch.tensor(LUMINANCE).to(images).view(3, 1, 1)
    return (images * weights).sum(1)


def _describe(levels: torch.Tensor, luminance: torch.Tensor) -> torch.Tensor:
    """The statistics of levels in 0..1, whose luminance is known."""
    steps = luminance.diff(dim=1).abs().mean((1, 2)) + luminance.diff(dim=2).abs().mean((1, 2))
    return torch.stack(
        [
            luminance.mean((1, 2)),
            luminance.flatten(1).std(1),
            (levels.amax(1) - levels.amin(1)).mean((1, 2)),
            steps / 2,
            (luminance > 0.9).to(luminance.dtype).mean((1, 2)),
        ],
        1,
    )


def _resampling(images: torch.Tensor, axis: int, cells: int) -> torch.Tensor:
    """`(cells, length)`: a triangle filter as wide as the reduction, over the window alone.

    Sides are counted by sums, so that an export keeps them dynamic.
    """
    down, across = (torch.ones_like(images[0, 0].select(1 - n, 0)) for n in (0, 1))
    height, width = down.sum(), across.sum()
    side = (torch.minimum(height, width) * EIGHTHS / 8).floor().clamp(min=1)
    length, ones = (height, down) if axis == 2 else (width, across)
    start = ((length - side) / 2).floor()
    pixels = ones.cumsum(0) - 0.5 - start
    step = side / cells
    reach = step.clamp(min=1.0)
    middle = (torch.arange(cells, device=images.device, dtype=images.dtype) + 0.5) * step
    weights = (1 - (pixels - middle.unsqueeze(1)).abs() / reach).clamp(min=0)
    weights = weights * ((pixels > 0) & (pixels < side))
    return weights / weights.sum(1, keepdim=True)
