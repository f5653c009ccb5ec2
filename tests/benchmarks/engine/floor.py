"""The floor: the convolutions of an adaptation alone, and the most that the machine does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg.blas import sgemm

from .cases import N_WAY, STEPS, Case, convolution_shapes

_gradients = torch.ops.aten.convolution_backward.default
PEAK_SIDE = 1536
"""Rows and columns of the matrices that are multiplied."""
PEAK_IMAGES, PEAK_CHANNELS, PEAK_IMAGE_SIDE = 16, 128, 56
"""A 3x3 convolution of about as many operations."""


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


def peaks() -> dict[str, tuple[Callable[[], object], float]]:
    """What may reach the machine's peak, by library: something to run, and its operations.

    Which library is the quickest depends on the processor: MKL reaches half on AMD's.
    """
    matrices = [torch.randn(PEAK_SIDE, PEAK_SIDE) for _ in range(2)]
    arrays = [matrix.numpy() for matrix in matrices]
    columns = [np.asfortranarray(array) for array in arrays]
    images, weight = (
        torch.randn(shape).contiguous(memory_format=torch.channels_last)
        for shape in (
            (PEAK_IMAGES, PEAK_CHANNELS, PEAK_IMAGE_SIDE, PEAK_IMAGE_SIDE),
            (PEAK_CHANNELS, PEAK_CHANNELS, 3, 3),
        )
    )
    product = 2.0 * PEAK_SIDE**3
    convolution = 2.0 * PEAK_IMAGES * PEAK_IMAGE_SIDE**2 * 9 * PEAK_CHANNELS**2
    return {
        "torch.mm": (lambda: torch.mm(*matrices), product),
        "numpy.matmul": (lambda: np.matmul(*arrays), product),
        # The library whose products compiled loops call.
        "scipy sgemm": (lambda: sgemm(1.0, *columns), product),
        "torch.conv2d": (lambda: torch.conv2d(images, weight, None, 1, 1), convolution),
    }
