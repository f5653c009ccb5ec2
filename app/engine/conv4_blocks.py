"""Blocks of Conv4 as kernels take them: from tensors to arrays, and which kernel serves a block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..kernels import direct_conv, first_block, im2col, views, winograd
from ..kernels.conv4 import Constants, Tape, Weights, fold
from ..kernels.jit import Floats
from ..kernels.winograd_tiles import TILE_NUMBERS
from ..meta.params import Params, array_of
from ..networks.convolution import EPSILON, NormalisedConvolution

KINDS = ("weight", "gain", "bias")
FEW_POSITIONS = 100
"""Outputs before pooling, for all rows, up to which `im2col` was measured faster than `winograd`
with the transform of its weight."""

Forward = Callable[[Floats], Floats]
"""A block: `(row, height, width, inputs)` to `(row, height // 2, width // 2, outputs)`."""


class AdaptedBlocks:
    """The blocks from the first one that adapts on, of one initialization."""

    def __init__(
        self,
        convolutions: Sequence[NormalisedConvolution],
        side: int,
        params: Params,
        step_sizes: Params,
        steps: int,
    ) -> None:
        """``side`` is that of the maps which the first of ``convolutions`` takes."""
        self._convolutions, self._side, self._step_sizes = convolutions, side, step_sizes
        self.constants = tuple(
            Constants(
                array_of(params[f"{convolution.name}.mean"]),
                array_of(torch.sqrt(params[f"{convolution.name}.variance"] + EPSILON)),
                sizes_of(step_sizes.get(f"{convolution.name}.weight"), steps, 1),
                sizes_of(step_sizes.get(f"{convolution.name}.gain"), steps, convolution.outputs),
                sizes_of(step_sizes.get(f"{convolution.name}.bias"), steps, convolution.outputs),
            )
            for convolution in convolutions
        )
        self._start = [self._weights(block, params) for block in range(len(convolutions))]

    def start(self) -> tuple[Weights, ...]:
        """Where an inner loop starts, in memory of its own."""
        return tuple(Weights(*(array.copy() for array in own)) for own in self._start)

    def tapes(self, rows: int) -> tuple[Tape, ...]:
        """Memory for a shard of so many rows."""
        tapes = []
        for block, own in enumerate(self._start):
            side = self._side >> (block + 1)
            pooled = (rows, side, side, len(own.shift))
            tapes.append(
                Tape(
                    np.empty(pooled, np.float32),
                    np.empty((rows * side * side, len(own.shift)), np.int32),
                    np.empty(pooled, np.float32),
                    np.empty_like(own.folded),
                    np.empty_like(own.shift),
                )
            )
        return tuple(tapes)

    def named(self, weights: Sequence[Weights]) -> Params:
        """The tensors that adapt, by their names."""
        tensors: dict[str, torch.Tensor] = {}
        for convolution, own in zip(self._convolutions, weights, strict=True):
            square = torch.from_numpy(own.weight).view(3, 3, convolution.inputs, -1)
            tensors[f"{convolution.name}.weight"] = square.permute(3, 2, 0, 1)
            tensors[f"{convolution.name}.gain"] = torch.from_numpy(own.gain)
            tensors[f"{convolution.name}.bias"] = torch.from_numpy(own.bias)
        return {name: tensor for name, tensor in tensors.items() if name in self._step_sizes}

    def forwards(self, params: Params, rows: int) -> list[Forward]:
        """The blocks with a session's tensors, for so many rows altogether."""
        forwards: list[Forward] = []
        for block, convolution in enumerate(self._convolutions):
            positions = 4 * rows * (self._side >> (block + 1)) ** 2
            if positions <= FEW_POSITIONS and not self._is_direct(block):
                forwards.append(self._few_rows(convolution, self.constants[block], params))
            else:
                own = self._weights(block, params)
                forwards.append(forward_of(own.folded, own.shift))
        return forwards

    def _few_rows(
        self, convolution: NormalisedConvolution, constants: Constants, params: Params
    ) -> Forward:
        weight, gain, bias = (params[f"{convolution.name}.{kind}"] for kind in KINDS)
        # Sessions keep their weights in channels last, of which this is a view.
        flat = array_of(weight.permute(0, 2, 3, 1).reshape(convolution.outputs, -1))
        scale = array_of(gain) / constants.deviation
        shift = array_of(bias) - constants.mean * scale

        def forward(maps: Floats) -> Floats:
            pooled = _pooled(maps, convolution.outputs)
            im2col.forward(_lines(maps), flat, scale, shift, pooled)
            return pooled

        return forward

    def _weights(self, block: int, params: Params) -> Weights:
        """A block with these tensors, folded for its kernel."""
        convolution = self._convolutions[block]
        weight, gain, bias = (params[f"{convolution.name}.{kind}"] for kind in KINDS)
        inputs, outputs = convolution.inputs, convolution.outputs
        planes = direct_conv.TAPS if self._is_direct(block) else TILE_NUMBERS
        own = Weights(
            array_of(weight.permute(2, 3, 1, 0).reshape(9, inputs, outputs)),
            array_of(gain),
            array_of(bias),
            np.empty((planes, inputs, outputs), np.float32),
            np.empty(outputs, np.float32),
        )
        fold(self.constants[block], own)
        return own

    def _is_direct(self, block: int) -> bool:
        # Only the first of these needs no gradient of its input, which `direct_conv` has not.
        return block == 0 and self._convolutions[0].inputs <= direct_conv.MOST_INPUTS


class Views:
    """Images to all that is seen of them, for an initialization's grid."""

    def __init__(self, grid: torch.Tensor) -> None:
        """``grid`` is `(view, height, width, 2)`, see `meta.views.sampling_grid`."""
        self._corners, self._shares = _bilinear(grid)

    def __call__(self, images: torch.Tensor) -> Floats:
        """`(image, channel, height, width)` to `(image * (1 + view), height, width, channel)`."""
        n_seen = 1 + len(self._corners)
        if n_seen == 1:
            return channels_innermost(images)
        channels, height, width = images.shape[1:]
        flat = array_of(images.flatten(0, 1).flatten(1))
        seen = torch.empty(len(images), channels, n_seen, height, width)
        views.sample(flat, self._corners, self._shares, seen.view(-1, height * width).numpy())
        return channels_innermost(seen.transpose(1, 2).flatten(0, 1))


class FirstBlock:
    """`Views`, and behind them a frozen first block of one input channel, in one kernel."""

    def __init__(
        self, grid: torch.Tensor, convolution: NormalisedConvolution, params: Params
    ) -> None:
        weight, bias = convolution.folded(params)
        self._corners, self._shares = _bilinear(grid)
        self._weight, self._bias = array_of(weight.flatten(1).T), array_of(bias)

    def __call__(self, images: torch.Tensor) -> Floats:
        """`(image, 1, height, width)` to `(image * (1 + view), height // 2, ..., output)`."""
        pixels = array_of(images.squeeze(1))
        n_images, height, width = pixels.shape
        rows = n_images * (1 + len(self._corners))
        pooled = np.empty((rows, height // 2, width // 2, len(self._bias)), np.float32)
        first_block.forward(pixels, self._corners, self._shares, self._weight, self._bias, pooled)
        return pooled


def frozen_forward(convolution: NormalisedConvolution, params: Params) -> Forward:
    """A block that does not adapt."""
    weight, bias = convolution.folded(params)
    taps = array_of(weight.permute(2, 3, 1, 0).flatten(0, 1))
    if convolution.inputs <= direct_conv.MOST_INPUTS:
        return forward_of(taps, array_of(bias))
    transformed = np.empty((TILE_NUMBERS, *taps.shape[1:]), np.float32)
    winograd.transform_weight(taps, np.ones(len(bias), np.float32), transformed)
    return forward_of(transformed, array_of(bias))


def forward_of(folded: Floats, shift: Floats) -> Forward:
    """A block with a folded weight, by the kernel that it is folded for."""
    kernel = winograd.forward if len(folded) == TILE_NUMBERS else direct_conv.forward

    def forward(maps: Floats) -> Floats:
        pooled = _pooled(maps, len(shift))
        argmax = np.empty((pooled.size // len(shift), len(shift)), np.int32)
        kernel(_lines(maps), folded, shift, pooled, argmax)
        return pooled

    return forward


def channels_innermost(rows: torch.Tensor) -> Floats:
    """`(row, channel, height, width)` to `(row, height, width, channel)`."""
    return array_of(rows.permute(0, 2, 3, 1))


def sizes_of(learned: torch.Tensor | None, steps: int, numbers: int) -> Floats:
    """`(steps, numbers)` step sizes: one for each number of a tensor, in its layout, or for all."""
    if learned is None:
        return np.zeros((steps, numbers), np.float32)
    if learned.dim() > 2:
        return array_of(learned.permute(0, 3, 4, 2, 1).flatten(1))
    return array_of(learned.reshape(steps, -1).expand(steps, max(numbers, learned[0].numel())))


def _pooled(maps: Floats, outputs: int) -> Floats:
    rows, height, width, _ = maps.shape
    return np.empty((rows, height // 2, width // 2, outputs), np.float32)


def _lines(maps: Floats) -> Floats:
    rows, height, width, channels = maps.shape
    return maps.reshape(rows, height, width * channels)


def _bilinear(grid: torch.Tensor) -> tuple[NDArray[np.int64], Floats]:
    """The four pixels that each position of a grid lies between, and their shares.

    Both are `(view, height * width, 4)`. Beyond an edge lies what is nearest on it.
    """
    n_views, height, width, _ = grid.shape
    positions = grid.double().reshape(n_views, height * width, 2)
    across, down = (
        (((positions[..., axis] + 1) * length - 1) / 2).clamp(0, length - 1)
        for axis, length in enumerate((width, height))
    )
    left, above = across.floor(), down.floor()
    right, below = (left + 1).clamp(max=width - 1), (above + 1).clamp(max=height - 1)
    corners = [row * width + column for row in (above, below) for column in (left, right)]
    by_row, by_column = (1 - (down - above), down - above), (1 - (across - left), across - left)
    shares = [row * column for row in by_row for column in by_column]
    return torch.stack(corners, 2).long().numpy(), torch.stack(shares, 2).float().numpy()
