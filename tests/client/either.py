"""The client that waits, and the one that is awaited, called in the same way."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from inkling import AsyncClient, AsyncSession, Client


class Awaited:
    """A client or session that is awaited, as if it waited."""

    def __init__(self, runner: asyncio.Runner, of: AsyncClient | AsyncSession) -> None:
        self._runner, self._of = runner, of

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        return self._called(found) if callable(found) else found

    def __enter__(self) -> Awaited:
        self._runner.run(self._of.__aenter__())
        return self

    def __exit__(self, *raised: Any) -> None:
        self._runner.run(self._of.__aexit__(*raised))

    def _called(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            result = method(*arguments, **options)
            if inspect.isasyncgen(result):
                return self._runner.run(_listed(result))
            made = self._runner.run(result)
            return Awaited(self._runner, made) if isinstance(made, AsyncSession) else made

        return call


async def _listed(generator: Any) -> list[Any]:
    return [each async for each in generator]


@contextlib.contextmanager
def waiting(url: str, **options: Any) -> Iterator[Any]:
    with Client(url, **options) as client:
        yield client


@contextlib.contextmanager
def awaiting(url: str, **options: Any) -> Iterator[Any]:
    with asyncio.Runner() as runner, Awaited(runner, AsyncClient(url, **options)) as client:
        yield client


BOTH = (waiting, awaiting)
