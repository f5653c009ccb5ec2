"""The first third of the road: from sent bytes to what a job works on.

Of small calls the sizes are looked at, and their jobs decode them; all others are decoded and
prepared here, by a bounded number of threads and in bounded memory, before they wait for the
engine.

Where the images decide which initialization is used, some of them are decoded first to look at
them; what is made of them afterwards begins from these pixels.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch

from ..engine.fair_threads import FairThreads
from ..engine.work import Images, Timing
from ..errors import BadImage, BadImages, InvalidInput, Problem
from ..images.decode import Stopped, is_quick, pixels, scale_of
from ..images.fingerprints import fingerprints
from ..images.prepared import Gathered, Prepared
from ..images.preprocessing import Preprocessing, packed
from .chunks import (
    LARGE_PIXELS,
    WITHOUT_ASKING,
    Chunk,
    Work,
    chunk_of,
    chunks,
    problem_of,
    read_within,
)
from .room import Room
from .validation import TOO_MANY_IMAGES
from .values import SentImage

Result = TypeVar("Result")
Part = TypeVar("Part")
Pixels = Mapping[tuple[str, int], torch.Tensor]
"""`(height, width, 4)` of some images of a call by `SentImage.place`, as `decode` gives them."""

FEW_IMAGES, SMALL_BYTES = 32, 128 << 10
"""Of a call that its job decodes: the most images, and bytes of all of them."""
LOOKED_AT, FEW_LOOKED_AT, PIXELS_LOOKED_AT = 12, 5, 1 << 22
"""Of a call whose images are looked at first: the most of them, and how many where they have more
than so many pixels together."""
SHARE_FOR_DECODING, SHARE_FOR_LARGE_CALLS, SHARE_FOR_CALLS = 1 / 2, 3 / 8, 1 / 8
"""Of the memory for images: what is decoded, and what is prepared and waits for the engine."""
SMALL_CALL_BYTES = 4 << 20
"""Of prepared images, which wait for the engine wherever they are."""


@dataclass(frozen=True)
class Look:
    """An image that was looked at.

    ``resembles`` is its `Preprocessing.resemblance` for each of those that were asked about, and
    ``statistics`` those of each that was to describe it. ``rgba`` are its pixels where they are few
    enough to be worth keeping; ``reduced`` tells that it was decoded at a smaller size than its
    own, with ``side`` of use.
    """

    image: SentImage
    rgba: torch.Tensor | None
    n_pixels: int
    resembles: tuple[float, ...]
    statistics: tuple[torch.Tensor, ...]
    reduced: bool
    side: int | None

    def serves(self, preprocessing: Preprocessing) -> bool:
        """Whether its pixels are those that a preprocessing begins from."""
        return not self.reduced or preprocessing.useful_side == self.side


class DecodingRoom:
    """Threads and memory that the images of all calls are decoded with.

    ``memory_bytes`` bounds what decoded images, and prepared ones of more than a few, take in all.
    Tenants have turns, and large calls wait for room beside the others.
    """

    def __init__(self, threads: int, memory_bytes: int) -> None:
        self.threads = FairThreads(threads, "inkling-decode")
        self.for_decoding = Room(int(SHARE_FOR_DECODING * memory_bytes))
        self.for_large_calls = Room(int(SHARE_FOR_LARGE_CALLS * memory_bytes))
        self.most_of_a_call = int(SHARE_FOR_CALLS * memory_bytes) // 2
        self.for_calls = Room(2 * self.most_of_a_call)

    def of(self, tenant: str) -> Decoder:
        """What decodes the images of a tenant's calls."""
        return Decoder(self, tenant)

    def close(self) -> None:
        """Let the threads end."""
        self.threads.close()


class Decoder:
    """Decodes the images of a tenant's calls."""

    def __init__(self, shared: DecodingRoom, tenant: str) -> None:
        self._shared, self._tenant = shared, tenant

    async def decode(
        self,
        images: Sequence[SentImage],
        preprocessing: Preprocessing,
        problems: Sequence[Problem] = (),
        known: Pixels | None = None,
        *,
        fingerprinting: bool = False,
    ) -> tuple[Images, Timing]:
        """Make images ready for a job, in whichever way is quicker.

        Those whose pixels are ``known`` are not decoded. ``fingerprinting`` takes fingerprints of
        what is prepared here; those of the others are for their job to take. Raises InvalidInput
        with ``problems``, those known before, and every bad image (one that a problem names already
        is left out, and all are if there are too many).
        """
        if not problems and _small(images):
            known = known or {}
            return [known.get(image.place, image.content) for image in images], Timing()
        return await self.prepare(
            images, preprocessing, problems, known, fingerprinting=fingerprinting
        )

    async def prepare(
        self,
        images: Sequence[SentImage],
        preprocessing: Preprocessing,
        problems: Sequence[Problem] = (),
        known: Pixels | None = None,
        *,
        fingerprinting: bool = False,
    ) -> tuple[Prepared, Timing]:
        """Decode images and make them a network's input. Raises InvalidInput as `decode` does."""
        prepare = partial(_prepared, preprocessing, known or {}, fingerprinting)
        listed, timing = list(problems), Timing()
        if any(problem.code == TOO_MANY_IMAGES for problem in listed):
            raise InvalidInput(listed)
        decoded = _unnamed(images, problems)
        gathered: Gathered | None = None
        async for chunk, spent in self._each(prepare, decoded):
            timing = timing.plus(spent)
            listed += chunk.problems
            for part in chunk.parts:
                if gathered is None:
                    gathered = await self._gathered(len(decoded), part)
                gathered.add(part)
        if listed or gathered is None:
            raise InvalidInput(listed)
        return gathered.whole(), timing

    async def look(
        self,
        images: Sequence[SentImage],
        preprocessings: Sequence[Preprocessing],
        describing: Sequence[Preprocessing] = (),
    ) -> tuple[list[Look], Timing]:
        """Decode some of the images, small, and tell how much each resembles what kinds.

        Each of those ``describing`` tells its statistics of them. Which are looked at depends on
        their contents alone, not on their order. Those that cannot be decoded are left out.
        """
        looks, timing = list[Look](), Timing()
        side = min((p.useful_side for p in preprocessings if p.useful_side), default=None)
        look = partial(_look, preprocessings, describing, side)
        async for chunk, spent in self._each(look, await self.run(_some, images)):
            looks += chunk.parts
            timing = timing.plus(spent)
            n_pixels = sum(each.n_pixels for each in looks)
            if len(looks) >= FEW_LOOKED_AT and n_pixels > PIXELS_LOOKED_AT:
                break
        return looks, timing

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Have one of the threads do something of a few milliseconds."""
        return await asyncio.wrap_future(
            self._shared.threads.submit(self._tenant, work, *arguments)
        )

    async def _each(
        self, work: Work[Part], images: Sequence[SentImage]
    ) -> AsyncIterator[tuple[Chunk[Part], Timing]]:
        """The images chunk by chunk, with the time of each; one that needs room is one alone."""
        for sent in chunks(images):
            rest, needs = sent, 0
            while rest:
                asked = time.perf_counter()
                chunk = await self._chunk(work, rest, needs)
                yield chunk, chunk.timing(asked)
                rest, needs = rest[chunk.done :], chunk.needs

    async def _chunk(
        self, work: Work[Part], images: Sequence[SentImage], needs: int
    ) -> Chunk[Part]:
        gone = threading.Event()
        if not needs:
            job = self._shared.threads.submit(
                self._tenant, chunk_of, work, images, WITHOUT_ASKING, gone
            )
        else:
            taken = await self._shared.for_decoding.take(needs, self._tenant)
            job = self._shared.threads.submit(self._tenant, chunk_of, work, images[:1], needs, gone)
            # The thread goes on with its image, and with its memory, when the call has ended.
            job.add_done_callback(lambda _: self._shared.for_decoding.give_back(taken))
        try:
            return await asyncio.wrap_future(job)
        finally:
            gone.set()

    async def _gathered(self, count: int, first: Prepared) -> Gathered:
        """A place for all images of a call, once there is room for it."""
        n_bytes = count * first.images.nbytes
        if n_bytes <= SMALL_CALL_BYTES:
            return Gathered(count, first)
        large = n_bytes > self._shared.most_of_a_call
        room = self._shared.for_large_calls if large else self._shared.for_calls
        taken = await room.take(n_bytes, self._tenant)
        return Gathered(count, first, partial(room.give_back, taken))


async def result_of(job: Future[Result], images: Sequence[SentImage]) -> Result:
    """What a job on ``images`` comes to. Raises InvalidInput for those that it could not decode."""
    try:
        return await asyncio.wrap_future(job)
    except BadImages as bad:
        raise InvalidInput(
            [problem_of(damaged, images[place]) for place, damaged in bad.by_position.items()]
        ) from None


def _small(images: Sequence[SentImage]) -> bool:
    """Whether decoding images holds no other calls up."""
    if len(images) > FEW_IMAGES or sum(len(image.content) for image in images) > SMALL_BYTES:
        return False
    try:
        return all(is_quick(image.content) for image in images)
    except BadImage:
        return False


def _some(images: Sequence[SentImage]) -> list[SentImage]:
    """Those that are looked at, drawn by their contents."""
    digests = [hashlib.sha256(image.content).digest() for image in images]
    order = sorted(range(len(images)), key=digests.__getitem__)
    return [images[position] for position in order[:LOOKED_AT]]


def _prepared(
    preprocessing: Preprocessing,
    known: Pixels,
    fingerprinting: bool,
    image: SentImage,
    room: int,
    stopped: Stopped,
) -> tuple[Prepared, int]:
    rgba = known.get(image.place)
    if rgba is None:
        side = preprocessing.useful_side
        rgba = pixels(read_within(image.content, side, room), side, stopped)
    prepared = packed(preprocessing, preprocessing.prepare([rgba]))
    if fingerprinting:
        prepared = replace(prepared, fingerprints=fingerprints([rgba]))
    return prepared, _n_pixels(rgba)


def _look(
    preprocessings: Sequence[Preprocessing],
    describing: Sequence[Preprocessing],
    side: int | None,
    image: SentImage,
    room: int,
    stopped: Stopped,
) -> tuple[Look, int]:
    encoded = read_within(image.content, side, room)
    rgba = pixels(encoded, side, stopped)
    n_pixels = _n_pixels(rgba)
    look = Look(
        image,
        rgba if n_pixels <= LARGE_PIXELS else None,
        n_pixels,
        tuple(preprocessing.resemblance(rgba) for preprocessing in preprocessings),
        tuple(preprocessing.prepare([rgba]).statistics for preprocessing in describing),
        scale_of(encoded, side) > 1,
        side,
    )
    return look, n_pixels


def _n_pixels(rgba: torch.Tensor) -> int:
    return rgba.shape[0] * rgba.shape[1]


def _unnamed(images: Sequence[SentImage], problems: Sequence[Problem]) -> list[SentImage]:
    """The images that no problem names."""
    named = {(problem.field, problem.index) for problem in problems}
    return [image for image in images if (image.field, image.index) not in named]
