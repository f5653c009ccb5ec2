"""A bar on standard error for calls of many images."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MANY = 20
"""As many images have a bar of their own accord, on a terminal."""


class Bar(Protocol):
    """What is told of images that are done."""

    def advance(self, n_images: int) -> None:
        """So many more."""
        ...


class NoBar:
    """A bar that is not shown."""

    def advance(self, n_images: int) -> None:
        """See `Bar`."""


@contextlib.contextmanager
def shown_bar(title: str, n_images: int, wanted: bool | None) -> Iterator[Bar]:
    """A bar if it is ``wanted``; for None, if there are many images and somebody can see it."""
    if not (_would_help(n_images) if wanted is None else wanted):
        yield NoBar()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield _RichBar(progress, progress.add_task(title, total=n_images))


class _RichBar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, n_images: int) -> None:
        self._progress.advance(self._task, n_images)


def _would_help(n_images: int) -> bool:
    return n_images >= MANY and sys.stderr is not None and sys.stderr.isatty()
