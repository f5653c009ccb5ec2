"""The first third of the road: from sent bytes to what a job works on.

Of small calls the sizes are looked at, and their jobs decode them; all others are decoded and
prepared here, by a bounded number of threads, before they wait for the engine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from ..engine.allocator import hand_back_freed_memory
from ..engine.work import Images, Timing
from ..errors import BadImage, BadImages, InvalidInput, Problem
from ..images.decode import decode, told_size
from ..images.prepared import Prepared, joined
from ..images.preprocessing import Preprocessing
from .validation import TOO_MANY_IMAGES
from .values import SentImage

Result = TypeVar("Result")

FEW_IMAGES, SMALL_BYTES = 32, 128 << 10
"""Of a call that its job decodes: the most images, and bytes of all of them."""
SMALL_PIXELS = 1 << 18
"""Of an image that its job decodes, which takes about a millisecond."""
LARGE_PIXELS = 1 << 20
"""Of an image behind whose decoding the memory that it took is not worth keeping."""
CHUNK_IMAGES, CHUNK_BYTES = 16, 64 << 10
"""Images that a thread decodes before it lets another call's in between."""


@dataclass(frozen=True)
class _Chunk:
    """Some images of a call after a thread had them."""

    prepared: tuple[Prepared, ...]
    problems: tuple[Problem, ...]
    began: float
    ended: float


class Decoder:
    """Decodes the images of calls, those of ``threads`` calls at once."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "inkling-decode")

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(cancel_futures=True)

    async def decode(
        self,
        images: Sequence[SentImage],
        preprocessing: Preprocessing,
        problems: Sequence[Problem] = (),
    ) -> tuple[Images, Timing]:
        """Make images ready for a job, in whichever way is quicker.

        Raises InvalidInput with ``problems``, those known before, and every bad image (one that a
        problem names already is left out, and all are if there are too many).
        """
        if not problems and (small := _small(images)) is not None:
            return small, Timing()
        return await self.prepare(images, preprocessing, problems)

    async def prepare(
        self,
        images: Sequence[SentImage],
        preprocessing: Preprocessing,
        problems: Sequence[Problem] = (),
    ) -> tuple[Prepared, Timing]:
        """Decode images and make them a network's input. Raises InvalidInput as `decode` does."""
        listed, parts = list(problems), list[Prepared]()
        if any(problem.code == TOO_MANY_IMAGES for problem in listed):
            raise InvalidInput(listed)
        loop, waited, decoding = asyncio.get_running_loop(), 0.0, 0.0
        for sent in _chunks(_unnamed(images, problems)):
            asked = time.perf_counter()
            chunk = await loop.run_in_executor(self._pool, _prepare_chunk, preprocessing, sent)
            parts += chunk.prepared
            listed += chunk.problems
            waited += chunk.began - asked
            decoding += chunk.ended - chunk.began
        if listed:
            raise InvalidInput(listed)
        return joined(parts), Timing(decode=decoding, queue=waited)


async def result_of(job: Future[Result], images: Sequence[SentImage]) -> Result:
    """What a job on ``images`` comes to. Raises InvalidInput for those that it could not decode."""
    try:
        return await asyncio.wrap_future(job)
    except BadImages as bad:
        raise InvalidInput(
            [_problem(damaged, images[place]) for place, damaged in bad.by_position.items()]
        ) from None


def _small(images: Sequence[SentImage]) -> list[bytes] | None:
    """The images as they were sent; None where decoding them may hold other calls up."""
    if len(images) > FEW_IMAGES or sum(len(image.content) for image in images) > SMALL_BYTES:
        return None
    try:
        sizes = [told_size(image.content) for image in images]
    except BadImage:
        return None
    small = all(width * height <= SMALL_PIXELS for width, height in sizes)
    return [image.content for image in images] if small else None


def _prepare_chunk(preprocessing: Preprocessing, images: Sequence[SentImage]) -> _Chunk:
    began, large = time.perf_counter(), False
    prepared: list[Prepared] = []
    problems: list[Problem] = []
    for image in images:
        try:
            rgba = decode(image.content, preprocessing.useful_side)
        except BadImage as bad:
            problems.append(_problem(bad, image))
            continue
        large |= rgba.shape[0] * rgba.shape[1] > LARGE_PIXELS
        prepared.append(preprocessing.prepare([rgba]))
    if large:
        hand_back_freed_memory()
    return _Chunk(tuple(prepared), tuple(problems), began, time.perf_counter())


def _chunks(images: Sequence[SentImage]) -> Iterator[list[SentImage]]:
    chunk: list[SentImage] = []
    size = 0
    for image in images:
        chunk.append(image)
        size += len(image.content)
        if len(chunk) == CHUNK_IMAGES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _unnamed(images: Sequence[SentImage], problems: Sequence[Problem]) -> list[SentImage]:
    """The images that no problem names."""
    named = {(problem.field, problem.index) for problem in problems}
    return [image for image in images if (image.field, image.index) not in named]


def _problem(bad: BadImage, image: SentImage) -> Problem:
    return Problem(bad.code, str(bad), image.field, image.index)
