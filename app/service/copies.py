"""Which images of a support set are the same picture: the same bytes, saved anew, or resized."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..images.fingerprints import alike

Flags = NDArray[np.bool_]
Pictures = Sequence[Sequence[int]]
"""Positions of images by the picture that they show, each once and in order; most are alone."""


COMPARED_AT_ONCE = 100
"""Images that are compared within a fraction of a millisecond."""


async def pictures_among(fingerprints: torch.Tensor, kept: torch.Tensor) -> Pictures:
    """`pictures_of`; of many images in a thread, since all pairs of them are looked at."""
    if len(kept) <= COMPARED_AT_ONCE:
        return pictures_of(fingerprints, kept)
    return await asyncio.to_thread(pictures_of, fingerprints, kept)


def pictures_of(fingerprints: torch.Tensor, kept: torch.Tensor) -> Pictures:
    """The pictures of images by their `(image, ...)` fingerprints, in the order of the first ones.

    Where a fingerprint tells nothing, as of a blank image or one from an older version, images are
    the same if all is that was ``kept`` of them.
    """
    same = alike(fingerprints)
    untold = ~same.diagonal()
    if untold.any():
        same |= _kept_alike(kept, untold)
    if np.count_nonzero(same) == len(same):
        return [[position] for position in range(len(same))]
    pictures: dict[int, list[int]] = {}
    for position, first in enumerate(_first_reached(same).tolist()):
        pictures.setdefault(first, []).append(position)
    return list(pictures.values())


def _kept_alike(kept: torch.Tensor, untold: Flags) -> Flags:
    """`(image, image)`: whether one of two is ``untold`` and the same is kept of both."""
    digests = [hashlib.sha256(image.tobytes()).digest() for image in kept.numpy()]
    numbers = {digest: number for number, digest in enumerate(digests)}
    contents = np.array([numbers[digest] for digest in digests])
    equal: Flags = contents == contents[:, None]
    return equal & (untold | untold[:, None])


def _first_reached(same: Flags) -> NDArray[np.int64]:
    """The first image that each reaches by steps from one to another that is the same."""
    first = np.arange(len(same))
    while True:
        least = np.where(same, first, len(same)).min(1)
        # The first of the first, so that long chains take few rounds.
        least = least[least]
        if np.array_equal(least, first):
            return first
        first = least
