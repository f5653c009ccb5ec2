"""Images of one channel seen in views, by bilinear interpolation.

`meta.views` defines them. torch's own sampling works out the positions anew for every image and
takes six operations for it; these are the same for all images of an initialization.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import Floats, compiled


@compiled
def sample(images: Floats, corners: NDArray[np.int64], shares: Floats, out_seen: Floats) -> None:
    """Each image as it is, then as every view has it.

    Reads ``images`` `(image, height * width)` and for each pixel of each view the four pixels that
    it lies between, ``corners`` `(view, height * width, 4)`, with their ``shares`` in it; writes
    ``out_seen`` `(image * (1 + view), height * width)`.
    """
    # An image and its views lie together, since they are averaged together in the end.
    n_seen = 1 + len(corners)
    for row in range(len(out_seen)):
        # A view moves all images alike: corners and shares are read again from the cache.
        image, seen, view = images[row // n_seen], out_seen[row], row % n_seen - 1
        if view < 0:
            seen[:] = image
        else:
            # Beyond an edge the corners are the nearest pixels on it: no branch is needed here.
            for k in range(len(seen)):
                value = np.float32(0)
                for corner in range(4):
                    value += shares[view, k, corner] * image[corners[view, k, corner]]
                seen[k] = value
