"""Every kernel of a block gives torch's numbers, forward and backward, and hides nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from inkling.kernels import direct_conv, im2col, winograd
from inkling.kernels.jit import Floats
from inkling.kernels.winograd_tiles import B_T, INACTIVE, TILE_NUMBERS, Argmax, B

from .blocks import block, close, drawn, gradients, lines

SHAPES = [(1, 4, 4, 1, 2), (3, 7, 7, 5, 4), (2, 14, 14, 64, 8), (40, 3, 3, 6, 6), (1, 28, 27, 3, 8)]
"""Rows, height, width, inputs and outputs."""
Run = Callable[[Floats, Floats, Floats], Floats]


def by_winograd(maps: Floats, weight: Floats, shift: Floats) -> Floats:
    pooled, argmax = outputs_of(maps, shift)
    transformed = np.empty((TILE_NUMBERS, *weight.shape[1:]), np.float32)
    winograd.transform_weight(weight, np.ones_like(shift), transformed)
    winograd.forward(lines(maps), transformed, shift, pooled, argmax)
    return pooled


def directly(maps: Floats, weight: Floats, shift: Floats) -> Floats:
    pooled, argmax = outputs_of(maps, shift)
    direct_conv.forward(lines(maps), weight, shift, pooled, argmax)
    return pooled


def by_im2col(maps: Floats, weight: Floats, shift: Floats) -> Floats:
    pooled, _ = outputs_of(maps, shift)
    flat = np.ascontiguousarray(weight.transpose(2, 0, 1).reshape(len(shift), -1))
    im2col.forward(lines(maps), flat, np.ones_like(shift), shift, pooled)
    return pooled


def outputs_of(maps: Floats, shift: Floats) -> tuple[Floats, Argmax]:
    rows, height, width, _ = maps.shape
    pooled = np.empty((rows, height // 2, width // 2, len(shift)), np.float32)
    return pooled, np.empty((pooled.size // len(shift), len(shift)), np.int32)


KERNELS = pytest.mark.parametrize("run", [by_winograd, directly, by_im2col])


@KERNELS
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_gives_what_torch_gives(run: Run, shape: tuple[int, ...]) -> None:
    rows, height, width, inputs, outputs = shape
    maps, weight = drawn(rows, height, width, inputs), drawn(9, inputs, outputs, seed=1)
    shift = drawn(outputs, seed=2)
    expected = block(*map(torch.from_numpy, (maps, weight, shift)))
    assert close(run(maps, weight, shift), expected.numpy())


@KERNELS
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows_in_what_comes_out(run: Run, value: float) -> None:
    maps, weight, shift = drawn(1, 6, 6, 2), drawn(9, 2, 4, seed=1), drawn(4, seed=2)
    maps[0, 2, 3, 1] = value
    assert not np.isfinite(run(maps, weight, shift)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_winograd_backward_gives_the_gradients_of_autograd(shape: tuple[int, ...]) -> None:
    rows, height, width, inputs, outputs = shape
    maps, weight = drawn(rows, height, width, inputs), drawn(9, inputs, outputs, seed=1)
    shift, scale = drawn(outputs, seed=2), drawn(outputs, seed=4)
    transformed = np.empty((TILE_NUMBERS, inputs, outputs), np.float32)
    winograd.transform_weight(weight, scale, transformed)
    pooled, argmax = outputs_of(maps, shift)
    winograd.forward(lines(maps), transformed, shift, pooled, argmax)
    d_pooled, d_maps = drawn(*pooled.shape, seed=3), np.empty_like(lines(maps))
    d_transformed, d_weight = np.empty_like(transformed), np.empty_like(weight)
    d_shift = np.empty_like(shift)
    winograd.backward(lines(maps), transformed, argmax, d_pooled, d_transformed, d_shift, d_maps)
    winograd.weight_gradient(d_transformed, d_weight)
    expected = gradients(maps, weight * scale, shift, d_pooled)
    actual = (d_maps.reshape(maps.shape), d_weight, d_shift)
    for gradient, wanted in zip(actual, expected, strict=True):
        assert close(gradient, wanted)


def test_winograd_backward_leaves_out_maps_that_nobody_asks_for() -> None:
    maps, weight, shift = drawn(2, 6, 6, 3), drawn(9, 3, 4, seed=1), drawn(4, seed=2)
    transformed = np.empty((TILE_NUMBERS, 3, 4), np.float32)
    winograd.transform_weight(weight, np.ones_like(shift), transformed)
    pooled, argmax = outputs_of(maps, shift)
    winograd.forward(lines(maps), transformed, shift, pooled, argmax)
    d_pooled = drawn(*pooled.shape, seed=3)
    d_transformed, d_weight = np.empty_like(transformed), np.empty_like(weight)
    d_shift = np.empty_like(shift)
    none = lines(maps)[:0]
    winograd.backward(lines(maps), transformed, argmax, d_pooled, d_transformed, d_shift, none)
    winograd.weight_gradient(d_transformed, d_weight)
    assert close(d_weight, gradients(maps, weight, shift, d_pooled)[1])


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_direct_backward_gives_the_gradients_of_autograd(inputs: int) -> None:
    maps, weight, shift = drawn(3, 7, 6, inputs), drawn(9, inputs, 8, seed=1), drawn(8, seed=2)
    pooled, argmax = outputs_of(maps, shift)
    direct_conv.forward(lines(maps), weight, shift, pooled, argmax)
    d_pooled = drawn(*pooled.shape, seed=3)
    d_weight, d_shift = np.empty_like(weight), np.empty_like(shift)
    direct_conv.backward(lines(maps), argmax, d_pooled, d_weight, d_shift)
    _, expected_weight, expected_shift = gradients(maps, weight, shift, d_pooled)
    assert close(d_weight, expected_weight)
    assert close(d_shift, expected_shift)


def test_a_silenced_square_is_inactive_and_has_no_gradient() -> None:
    maps, weight, shift = drawn(2, 6, 6, 2), drawn(9, 2, 4, seed=1), np.full(4, -1e3, np.float32)
    pooled, argmax = outputs_of(maps, shift)
    direct_conv.forward(lines(maps), weight, shift, pooled, argmax)
    assert (pooled == 0).all()
    assert (argmax == INACTIVE).all()
    d_weight, d_shift = np.empty_like(weight), np.empty_like(shift)
    direct_conv.backward(lines(maps), argmax, drawn(*pooled.shape), d_weight, d_shift)
    assert not d_weight.any()
    assert not d_shift.any()


def test_a_negative_scale_turns_the_order_of_a_square_round() -> None:
    maps, weight = drawn(2, 4, 4, 3), drawn(9, 3, 4, seed=1)
    shift, scale = drawn(4, seed=2), np.full(4, -0.5, np.float32)
    pooled, _ = outputs_of(maps, shift)
    flat = np.ascontiguousarray(weight.transpose(2, 0, 1).reshape(4, -1))
    im2col.forward(lines(maps), flat, scale, shift, pooled)
    assert close(pooled, block(*map(torch.from_numpy, (maps, weight * scale, shift))).numpy())


def test_the_way_back_is_the_transpose() -> None:
    np.testing.assert_array_equal(B, B_T.T)
