"""The floor: the convolutions of an adaptation alone, and the most that the machine does."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .cases import N_WAY, STEPS, Case, convolution_shapes

_gradients = torch.ops.aten.convolution_backward.default
PEAK_SIDE = 1536


def kernels_of(case: Case) -> Callable[[], None]:
    """The convolutions of one adaptation, forward and backward, on data that lies ready."""
    batch = N_WAY * case.shot
    layers = []
    for number, (inputs, outputs, side) in enumerate(convolution_shapes(case.model.network)):
        images, weight, gradient = (
            torch.randn(shape).contiguous(memory_format=torch.channels_last)
            for shape in (
                (batch, inputs, side, side),
                (outputs, inputs, 3, 3),
                (batch, outputs, side, side),
            )
        )
        layers.append((images, weight, gradient, [number > 0, True, False]))

    @torch.no_grad()
    def run() -> None:
        for step in range(STEPS + 1):
            for images, weight, _, _ in layers:
                torch.conv2d(images, weight, None, 1, 1)
            if step < STEPS:
                for images, weight, gradient, wanted in reversed(layers):
                    _gradients(
                        gradient, images, weight, None, [1, 1], [1, 1], [1, 1],
                        False, [0, 0], 1, wanted,
                    )  # fmt: skip

    return run


def peak() -> tuple[Callable[[], None], float]:
    """A large product of matrices, and its operations."""
    left, right = torch.randn(PEAK_SIDE, PEAK_SIDE), torch.randn(PEAK_SIDE, PEAK_SIDE)

    def run() -> None:
        torch.mm(left, right)

    return run, 2.0 * PEAK_SIDE**3
