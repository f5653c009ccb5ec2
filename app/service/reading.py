"""Labels and image bytes to what the engine works with, and all that is wrong with them."""

from __future__ import annotations

import threading
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..engine.allocator import hand_back_freed_memory
from ..errors import BadImage, DeadlineExceeded, InvalidInput, Problem
from ..images.decode import decode, opened, pixels
from .values import LabelledImage, Limits, QueryImage

MAX_LABEL_LENGTH = 100
MIN_CLASSES = 2
SMALL_PIXELS = 1 << 18
"""Of an image that takes about a millisecond to decode."""
LARGE_PIXELS = 1 << 20
"""Of an image behind whose reading the memory that it took is not worth keeping."""
SMALL_BYTES = 128 << 10
"""Of all images of a call that is read by the thread that computes."""
TOO_MANY_IMAGES = "too_many_images"


@dataclass(frozen=True)
class Read:
    """`(image, channel, height, width)`, seconds waited for a decoder, seconds of decoding."""

    images: torch.Tensor
    waited: float
    decoding: float


class Reader:
    """Decodes and preprocesses images, a bounded number of them at once."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decoders = threading.BoundedSemaphore(limits.concurrent_decodes)

    def read(
        self,
        images: Sequence[LabelledImage | QueryImage],
        checkpoint: Checkpoint,
        problems: Sequence[Problem],
        deadline: float,
    ) -> Read:
        """Make every image ready for a checkpoint's network.

        Raises InvalidInput with ``problems``, the ones known before, and every bad image (one
        that a problem names already is not looked at again, and none if there are too many);
        DeadlineExceeded when ``deadline`` (monotonic seconds) passes.
        """
        listed = list(problems)
        if any(problem.code == TOO_MANY_IMAGES for problem in listed):
            raise InvalidInput(listed)
        tensors: list[torch.Tensor] = []
        waited, decoding, large = 0.0, 0.0, False
        for image in _unnamed(images, problems):
            asked = time.monotonic()
            # One image at a time, so that a call with many large ones lets others in between.
            if asked >= deadline or not self._decoders.acquire(timeout=deadline - asked):
                raise DeadlineExceeded("decoding the images", self._limits.deadline_seconds)
            began = time.monotonic()
            try:
                rgba = decode(image.content)
                large |= rgba.shape[0] * rgba.shape[1] > LARGE_PIXELS
                tensors.append(checkpoint.preprocessing.prepare([rgba]).images)
            except BadImage as bad:
                listed.append(Problem(bad.code, str(bad), image.field, image.index))
            finally:
                self._decoders.release()
            waited += began - asked
            decoding += time.monotonic() - began
        if large:
            hand_back_freed_memory()
        if listed:
            raise InvalidInput(listed)
        return Read(torch.cat(tensors), waited, decoding)


def small_pixels(
    images: Sequence[LabelledImage | QueryImage], problems: Sequence[Problem]
) -> list[torch.Tensor] | None:
    """Decode small images on the calling thread; None where one of them has too many pixels.

    Raises InvalidInput as `Reader.read` does.
    """
    listed, tensors = list(problems), []
    if any(problem.code == TOO_MANY_IMAGES for problem in listed):
        raise InvalidInput(listed)
    for image in _unnamed(images, problems):
        try:
            header = opened(image.content)
            if header.width * header.height > SMALL_PIXELS:
                return None
            tensors.append(pixels(header))
        except BadImage as bad:
            listed.append(Problem(bad.code, str(bad), image.field, image.index))
    if listed:
        raise InvalidInput(listed)
    return tensors


def is_small(images: Sequence[LabelledImage | QueryImage], most: int) -> bool:
    """Whether reading no more than ``most`` images holds nobody up, as far as their bytes tell."""
    return len(images) <= most and sum(len(image.content) for image in images) <= SMALL_BYTES


def clean_labels(images: Sequence[LabelledImage]) -> tuple[list[str], list[Problem]]:
    """Labels in NFC and trimmed, with the problems of those that cannot be used."""
    cleaned, problems = [], []
    for image in images:
        label = unicodedata.normalize("NFC", image.label).strip()
        cleaned.append(label)
        if not 1 <= len(label) <= MAX_LABEL_LENGTH:
            message = f"expected a label of 1 to {MAX_LABEL_LENGTH} characters, got {len(label)}"
        elif any(unicodedata.category(character) in ("Cc", "Cs") for character in label):
            message = "expected a label without control characters and lone surrogates"
        else:
            continue
        problems.append(Problem("bad_label", message, image.field, image.index))
    return cleaned, problems


def support_problems(
    n_images: int, labels: Sequence[str], kept: Sequence[str], limits: Limits
) -> list[Problem]:
    """What is wrong with the size of a support set; ``kept`` are labels it has already."""
    if not n_images:
        return [Problem("no_images", "expected labelled images, got none")]
    problems = []
    total = n_images + len(kept)
    if total > limits.max_support_images:
        already = f", {len(kept)} of them kept from before" if kept else ""
        problems.append(
            Problem(
                TOO_MANY_IMAGES,
                f"expected at most {limits.max_support_images} images, got {total}{already}",
            )
        )
    classes = len({*labels, *kept})
    if not MIN_CLASSES <= classes <= limits.max_classes:
        problems.append(
            Problem(
                "number_of_classes",
                f"expected images of {MIN_CLASSES} to {limits.max_classes} different "
                f"labels, got {classes}",
            )
        )
    return problems


def query_problems(n_images: int, limits: Limits) -> list[Problem]:
    """What is wrong with a number of queries."""
    if not n_images:
        return [Problem("no_images", "expected at least one image, got none")]
    if n_images > limits.max_query_images:
        message = f"expected at most {limits.max_query_images} images, got {n_images}"
        return [Problem(TOO_MANY_IMAGES, message)]
    return []


def _unnamed(
    images: Sequence[LabelledImage | QueryImage], problems: Sequence[Problem]
) -> list[LabelledImage | QueryImage]:
    """The images that no problem names."""
    named = {(problem.field, problem.index) for problem in problems}
    return [image for image in images if (image.field, image.index) not in named]
