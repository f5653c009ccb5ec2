"""What kind of picture a preprocessed image is, in a few numbers."""

from __future__ import annotations

import math

import numpy as np

from .jit import Floats, compiled


@compiled
def describe(images: Floats, found: Floats) -> None:
    """Fill in ``found`` `(image, 5)` from ``images`` `(image, channel, height, width)`.

    Mean, deviation, mean step between neighbours, share of values between the outer sixths of an
    image's range, mean along the four edges.
    """
    n_images, channels, height, width = images.shape
    # Three passes over an image, which stays in the cache: deviations need the mean, tones the
    # range.
    n_values = channels * height * width
    for number in range(n_images):
        image = images[number]
        mean, low, high = 0.0, image[0, 0, 0], image[0, 0, 0]
        for value in image.ravel():
            mean += value / n_values
            low, high = min(low, value), max(high, value)
        # A blank image has no range: all of its values count as its ends.
        spread, half_tones, span = 0.0, 0, max(high - low, np.float32(1e-6))
        for value in image.ravel():
            spread += (value - mean) ** 2
            relative = (value - low) / span
            half_tones += 1 / 6 < relative < 5 / 6
        down, across, edges = 0.0, 0.0, 0.0
        for channel in range(channels):
            for y in range(height):
                for x in range(width):
                    value = image[channel, y, x]
                    # The first line and column have no neighbour before them.
                    down += abs(value - image[channel, y - 1, x]) if y > 0 else 0.0
                    across += abs(value - image[channel, y, x - 1]) if x > 0 else 0.0
                    # Corners lie on two edges.
                    edges += value * ((y == 0) + (y == height - 1) + (x == 0) + (x == width - 1))
        found[number, 0] = mean
        # As `torch.std` has it, one less than the number of values.
        found[number, 1] = math.sqrt(spread / (n_values - 1))
        found[number, 2] = (
            down / (channels * (height - 1) * width) + across / (channels * height * (width - 1))
        ) / 2
        found[number, 3] = half_tones / n_values
        found[number, 4] = edges / (2 * channels * (height + width))


@compiled
def contrasts(images: Floats) -> Floats:
    """From the lightest to the darkest of `(image, pixel)` preprocessed images: `(image,)`."""
    # One pass for both ends, where `max() - min()` would take two and an array for each.
    found = np.empty(len(images), np.float32)
    for number in range(len(images)):
        low = high = images[number, 0]
        for pixel in range(images.shape[1]):
            low, high = min(low, images[number, pixel]), max(high, images[number, pixel])
        found[number] = high - low
    return found
