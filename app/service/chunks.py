"""Parts of a call's images, each of which one thread decodes before it lets other calls in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..engine.allocator import hand_back_freed_memory
from ..engine.work import Timing
from ..errors import BadImage, Problem
from ..images.decode import QUICK_BYTES, DecodingStopped, Stopped, decoding_bytes, read
from ..images.encoded import Encoded
from .values import SentImage

Part = TypeVar("Part")
Work = Callable[[SentImage, int, Stopped], tuple[Part, int]]
"""What is made of an image within so many bytes of memory, and how many pixels it decoded.

It raises BadImage, NeedsRoom where decoding takes more memory, and DecodingStopped.
"""

CHUNK_IMAGES, CHUNK_BYTES = 16, 64 << 10
WITHOUT_ASKING = QUICK_BYTES
"""Bytes of memory that decoding an image may take in any thread at any time."""
LARGE_PIXELS = 1 << 20
"""Of an image behind whose decoding the memory that it took is not worth keeping."""


class NeedsRoom(Exception):
    """An image that takes so many bytes of memory to decode."""

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        super().__init__(n_bytes)


@dataclass(frozen=True)
class Chunk(Generic[Part]):
    """Some images of a call after a thread had them.

    It had the first ``done`` of them; where those are not all, the next one ``needs`` so many bytes
    of memory.
    """

    parts: tuple[Part, ...]
    problems: tuple[Problem, ...]
    done: int
    needs: int
    began: float
    ended: float

    def timing(self, asked: float) -> Timing:
        """Where the time since it was ``asked`` for went."""
        return Timing(decode=self.ended - self.began, queue=self.began - asked)


def chunks(images: Sequence[SentImage]) -> Iterator[list[SentImage]]:
    """The images in their order, so many at once that a thread has them for milliseconds."""
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


def read_within(content: bytes, useful_side: int | None, room: int) -> Encoded:
    """An image's header. Raises BadImage, and NeedsRoom if decoding takes more than ``room``."""
    encoded = read(content)
    needed = decoding_bytes(encoded, useful_side)
    if needed > room:
        raise NeedsRoom(needed)
    return encoded


def chunk_of(
    work: Work[Part], images: Sequence[SentImage], room: int, gone: threading.Event
) -> Chunk[Part]:
    """What ``work`` makes of each image within ``room``, until the caller is ``gone``."""
    began, most, done, needs = time.perf_counter(), 0, 0, 0
    parts: list[Part] = []
    problems: list[Problem] = []
    for image in images:
        try:
            part, n_pixels = work(image, room, gone.is_set)
        except DecodingStopped:
            break
        except NeedsRoom as more:
            needs = more.n_bytes
            break
        except BadImage as bad:
            problems.append(problem_of(bad, image))
        else:
            most = max(most, n_pixels)
            parts.append(part)
        done += 1
    if most > LARGE_PIXELS or room > WITHOUT_ASKING:
        hand_back_freed_memory()
    ended = time.perf_counter()
    return Chunk(tuple(parts), tuple(problems), done, needs, began, ended)


def problem_of(bad: BadImage, image: SentImage) -> Problem:
    """A bad image as its sender is told of it."""
    return Problem(bad.code, str(bad), image.field, image.index)
