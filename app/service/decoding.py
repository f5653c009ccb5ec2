"""The first third of the road: from sent bytes to what a job works on.

Of small calls the sizes are looked at, and their jobs decode them; all others are decoded and
prepared here, by a bounded number of threads, before they wait for the engine.

Where the images decide which initialization is used, some of them are decoded first to look at
them; what is made of them afterwards begins from these pixels.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import torch

from ..engine.allocator import hand_back_freed_memory
from ..engine.work import Images, Timing
from ..errors import BadImage, BadImages, InvalidInput, Problem
from ..images.decode import decode, drafted, opened, pixels, told_size
from ..images.prepared import Prepared, joined
from ..images.preprocessing import Preprocessing
from .validation import TOO_MANY_IMAGES
from .values import SentImage

Result = TypeVar("Result")
Part = TypeVar("Part")
Pixels = Mapping[tuple[str, int], torch.Tensor]
"""`(height, width, 4)` of some images of a call by `SentImage.place`, as `decode` gives them."""

FEW_IMAGES, SMALL_BYTES = 32, 128 << 10
"""Of a call that its job decodes: the most images, and bytes of all of them."""
SMALL_PIXELS = 1 << 18
"""Of an image that its job decodes, which takes about a millisecond."""
LARGE_PIXELS = 1 << 20
"""Of an image behind whose decoding the memory that it took is not worth keeping."""
CHUNK_IMAGES, CHUNK_BYTES = 16, 64 << 10
"""Images that a thread decodes before it lets another call's in between."""
LOOKED_AT, FEW_LOOKED_AT, PIXELS_LOOKED_AT = 12, 5, 1 << 22
"""Of a call whose images are looked at first: the most of them, and how many where they have more
than so many pixels together."""


@dataclass(frozen=True)
class Look:
    """An image that was looked at.

    ``resembles`` is its `Preprocessing.resemblance` for each of those that were asked about;
    ``reduced`` tells that it was decoded at a smaller size than its own, with ``side`` of use.
    """

    image: SentImage
    rgba: torch.Tensor
    resembles: tuple[float, ...]
    reduced: bool
    side: int | None

    def serves(self, preprocessing: Preprocessing) -> bool:
        """Whether its pixels are those that a preprocessing begins from, and worth keeping."""
        same = not self.reduced or preprocessing.useful_side == self.side
        return same and self.n_pixels <= LARGE_PIXELS

    @property
    def n_pixels(self) -> int:
        """How many pixels were decoded."""
        return self.rgba.shape[0] * self.rgba.shape[1]


@dataclass(frozen=True)
class _Chunk(Generic[Part]):
    """Some images of a call after a thread had them."""

    parts: tuple[Part, ...]
    problems: tuple[Problem, ...]
    began: float
    ended: float

    def timing(self, asked: float) -> Timing:
        """Where the time since it was ``asked`` for went."""
        return Timing(decode=self.ended - self.began, queue=self.began - asked)


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
        known: Pixels | None = None,
    ) -> tuple[Images, Timing]:
        """Make images ready for a job, in whichever way is quicker.

        Those whose pixels are ``known`` are not decoded. Raises InvalidInput with ``problems``,
        those known before, and every bad image (one that a problem names already is left out, and
        all are if there are too many).
        """
        if not problems and _small(images):
            known = known or {}
            return [known.get(image.place, image.content) for image in images], Timing()
        return await self.prepare(images, preprocessing, problems, known)

    async def prepare(
        self,
        images: Sequence[SentImage],
        preprocessing: Preprocessing,
        problems: Sequence[Problem] = (),
        known: Pixels | None = None,
    ) -> tuple[Prepared, Timing]:
        """Decode images and make them a network's input. Raises InvalidInput as `decode` does."""
        listed, parts, timing = list(problems), list[Prepared](), Timing()
        if any(problem.code == TOO_MANY_IMAGES for problem in listed):
            raise InvalidInput(listed)
        prepared = partial(_prepared, preprocessing, known or {})
        for sent in _chunks(_unnamed(images, problems)):
            asked = time.perf_counter()
            chunk = await self.run(_chunk_of, prepared, sent)
            parts += chunk.parts
            listed += chunk.problems
            timing = timing.plus(chunk.timing(asked))
        if listed:
            raise InvalidInput(listed)
        return joined(parts), timing

    async def look(
        self, images: Sequence[SentImage], preprocessings: Sequence[Preprocessing]
    ) -> tuple[list[Look], Timing]:
        """Decode some of the images, small, and tell how much each resembles what kinds.

        Which are looked at depends on their contents alone, not on their order. Those that cannot
        be decoded are left out.
        """
        looks, timing = list[Look](), Timing()
        side = min((p.useful_side for p in preprocessings if p.useful_side), default=None)
        look = partial(_look, preprocessings, side)
        for sent in _chunks(await self.run(_some, images)):
            asked = time.perf_counter()
            chunk = await self.run(_chunk_of, look, sent)
            looks += chunk.parts
            timing = timing.plus(chunk.timing(asked))
            n_pixels = sum(each.n_pixels for each in looks)
            if len(looks) >= FEW_LOOKED_AT and n_pixels > PIXELS_LOOKED_AT:
                break
        return looks, timing

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Have one of the threads do something of a few milliseconds."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)


async def result_of(job: Future[Result], images: Sequence[SentImage]) -> Result:
    """What a job on ``images`` comes to. Raises InvalidInput for those that it could not decode."""
    try:
        return await asyncio.wrap_future(job)
    except BadImages as bad:
        raise InvalidInput(
            [_problem(damaged, images[place]) for place, damaged in bad.by_position.items()]
        ) from None


def _small(images: Sequence[SentImage]) -> bool:
    """Whether decoding images holds no other calls up."""
    if len(images) > FEW_IMAGES or sum(len(image.content) for image in images) > SMALL_BYTES:
        return False
    try:
        sizes = [told_size(image.content) for image in images]
    except BadImage:
        return False
    return all(width * height <= SMALL_PIXELS for width, height in sizes)


def _some(images: Sequence[SentImage]) -> list[SentImage]:
    """Those that are looked at, drawn by their contents."""
    digests = [hashlib.sha256(image.content).digest() for image in images]
    order = sorted(range(len(images)), key=digests.__getitem__)
    return [images[position] for position in order[:LOOKED_AT]]


def _chunk_of(
    work: Callable[[SentImage], tuple[Part, int]], images: Sequence[SentImage]
) -> _Chunk[Part]:
    """What ``work`` makes of each image, which also tells how many pixels it decoded."""
    began, most = time.perf_counter(), 0
    parts: list[Part] = []
    problems: list[Problem] = []
    for image in images:
        try:
            part, n_pixels = work(image)
        except BadImage as bad:
            problems.append(_problem(bad, image))
            continue
        most = max(most, n_pixels)
        parts.append(part)
    if most > LARGE_PIXELS:
        hand_back_freed_memory()
    return _Chunk(tuple(parts), tuple(problems), began, time.perf_counter())


def _prepared(
    preprocessing: Preprocessing, known: Pixels, image: SentImage
) -> tuple[Prepared, int]:
    rgba = known.get(image.place)
    if rgba is None:
        rgba = decode(image.content, preprocessing.useful_side)
    return preprocessing.prepare([rgba]), rgba.shape[0] * rgba.shape[1]


def _look(
    preprocessings: Sequence[Preprocessing], side: int | None, image: SentImage
) -> tuple[Look, int]:
    encoded = opened(image.content)
    reduced = drafted(encoded, side)
    rgba = pixels(encoded)
    resembles = tuple(preprocessing.resemblance(rgba) for preprocessing in preprocessings)
    look = Look(image, rgba, resembles, reduced, side)
    return look, look.n_pixels


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
