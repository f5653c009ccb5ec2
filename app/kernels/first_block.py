"""A frozen first block of one input channel, over images and the views that they are seen in.

Its single channel makes it small work on large maps. So these never leave the registers: from the
image, seen through a view's grid, straight to what pooling keeps. Beside
sampling views first and `direct_conv` behind, no map is written and read again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import Floats, compiled


@compiled
def forward(
    images: Floats,
    corners: NDArray[np.int64],
    shares: Floats,
    weight: Floats,
    bias: Floats,
    out_pooled: Floats,
) -> None:
    """Convolve, shift, pool and rectify each image as it is, and in each view.

    Reads ``images`` `(image, height, width)`, of each view's pixels the four ``corners`` that they
    lie between and the ``shares`` of these, both `(view, height * width, 4)`, ``weight``
    `(3 * 3, output)` and ``bias`` `(output,)`; writes ``out_pooled``
    `(image * (1 + view), height // 2, width // 2, output)`, each image before its views.
    """
    n_images, height, width = images.shape
    seen = 1 + len(corners)
    padded = np.zeros((height + 2, width + 2), np.float32)
    for row in range(n_images * seen):
        _view(images[row // seen], corners, shares, row % seen, padded)
        for y in range(height // 2):
            for x in range(width // 2):
                for output in range(len(bias)):
                    # The four convolutions of a pooling square, each weight loaded once.
                    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                    for i in range(3):
                        for j in range(3):
                            w = weight[3 * i + j, output]
                            a += w * padded[2 * y + i, 2 * x + j]
                            b += w * padded[2 * y + i, 2 * x + j + 1]
                            c += w * padded[2 * y + i + 1, 2 * x + j]
                            d += w * padded[2 * y + i + 1, 2 * x + j + 1]
                    kept = max(a, b, c, d) + bias[output]
                    out_pooled[row, y, x, output] = max(kept, np.float32(0))


@compiled
def _view(
    image: Floats, corners: NDArray[np.int64], shares: Floats, number: int, padded: Floats
) -> None:
    """Write an image as it is, for ``number`` 0, or as view ``number - 1`` has it.

    Reads ``image`` `(height, width)`; writes ``padded`` `(height + 2, width + 2)` but its border,
    which stays zero from image to image.
    """
    height, width = image.shape
    pixels = image.reshape(height * width)
    for y in range(height):
        for x in range(width):
            pixel = y * width + x
            if number == 0:
                padded[y + 1, x + 1] = pixels[pixel]
            else:
                # Bilinear: four neighbours of the place that the view looks at.
                value = np.float32(0)
                for corner in range(4):
                    share = shares[number - 1, pixel, corner]
                    value += share * pixels[corners[number - 1, pixel, corner]]
                padded[y + 1, x + 1] = value
