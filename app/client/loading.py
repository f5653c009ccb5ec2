"""Images as they go over the wire, read and shrunk a few at a time, in parts that fit a call."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from .exchange import Steps, Work
from .shrinking import shrunk
from .sources import Source

AT_ONCE = 4
"""Images that are read and shrunk side by side, by as many threads."""
BESIDE_IMAGES = 4096
"""Bytes of a body that are left for what is no image."""
MARKS = len('{"label":"","image":""},')
"""What stands around a label and an image in JSON, in bytes."""


@dataclass(frozen=True)
class Loaded:
    """An image in base64, with its place among those that the caller gave."""

    position: int
    source: Source
    text: str

    @property
    def n_bytes(self) -> int:
        """What it takes of a body."""
        return len(self.text) + len(json.dumps(self.source.label)) + MARKS


@dataclass(frozen=True)
class Room:
    """What fits a call: so many images of so many bytes together."""

    n_images: int
    n_bytes: int


class Loader:
    """Images that are yet to be sent, by their places; the next of them may be loaded already."""

    def __init__(self, waiting: Iterable[tuple[int, Source]], *, shrink: bool) -> None:
        self._waiting, self._loaded = deque(waiting), deque[Loaded]()
        self._shrink = shrink

    def __bool__(self) -> bool:
        return bool(self._waiting or self._loaded)

    def part(self, room: Room) -> Steps[list[Loaded]]:
        """The next images that fit, one at least.

        Raises what reading them does.
        """
        taken: list[Loaded] = []
        n_bytes = 0
        while self and len(taken) < room.n_images:
            if not self._loaded:
                coming = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
                self._loaded.extend((yield Work(partial(_load, coming, shrink=self._shrink))))
            n_bytes += self._loaded[0].n_bytes
            if taken and n_bytes > room.n_bytes:
                break
            taken.append(self._loaded.popleft())
        return taken

    def in_order(self) -> Loader:
        """What has not been taken, in the order of its places; this one is empty then."""
        again = [
            (image.position, replace(image.source, read=partial(base64.b64decode, image.text)))
            for image in self._loaded
        ]
        left = sorted([*again, *self._waiting], key=lambda numbered: numbered[0])
        self._loaded.clear()
        self._waiting.clear()
        return Loader(left, shrink=self._shrink)


def one_of_each_first(images: Sequence[Source]) -> list[tuple[int, Source]]:
    """Images with their places: the first of each label, then the second of each, and so on."""
    seen: dict[str, int] = {}
    turns = []
    for position, source in enumerate(images):
        turns.append((seen.setdefault(source.label, 0), position, source))
        seen[source.label] += 1
    return [(position, source) for _, position, source in sorted(turns, key=lambda turn: turn[:2])]


def _load(images: Sequence[tuple[int, Source]], *, shrink: bool) -> list[Loaded]:
    def load(numbered: tuple[int, Source]) -> Loaded:
        position, source = numbered
        content = source.read()
        if shrink:
            content = shrunk(content)
        return Loaded(position, source, base64.b64encode(content).decode())

    if len(images) == 1:
        return [load(images[0])]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(load, images))
