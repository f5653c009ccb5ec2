"""The client whose calls are awaited, on asyncio or trio."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx

from ..errors import InklingError
from ..given_images import Image, OpenFile, file_bytes
from .calls import Adapted, Calls
from .connecting import CONNECT_SECONDS, http_options, request_options
from .exchange import Made, Pause, Request, Retries, Step, Steps
from .progress import shown_bar
from .refusals import NotFound
from .results import (
    Evaluation,
    InitializationInfo,
    Limits,
    Predictions,
    Report,
    SessionInfo,
)
from .sent_session import ExportFormat, KnownSession, export_format, written
from .sources import Sources, Support, labelled, unlabelled
from .waiting import Option

Done = TypeVar("Done")


class AsyncClient:
    """What `Client` is, for programs that await: arguments, results and errors are the same.

    Files are read and images made smaller in threads.
    """

    def __init__(
        self,
        base_url: str,
        timeout_seconds: float = 120,
        api_key: str | None = None,
        *,
        connect_timeout_seconds: float = CONNECT_SECONDS,
        retries: Retries | None = None,
        shrink: bool = True,
        progress: bool | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        options = http_options(base_url, timeout_seconds, connect_timeout_seconds, api_key)
        self._http = httpx.AsyncClient(**options, transport=transport)
        self._calls = Calls(retries or Retries(), shrink)
        self._progress = progress

    async def __aenter__(self) -> AsyncClient:
        """Use the client as a context that closes its connections."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def adapt(
        self, support: Support, *, idempotency_key: str | None = None, **options: Option
    ) -> AsyncSession:
        """See `Client.adapt`."""
        with await _in_thread(partial(labelled, support)) as given:
            given.warn()
            with self._bar("adapting", given) as bar:
                steps = self._calls.adapt(given.images, options, idempotency_key, bar)
                adapted = await self._run(steps)
        return AsyncSession(self, adapted.adaptation, adapted.sources)

    async def open(self, session_id: str) -> AsyncSession:
        """See `Client.open`."""
        return AsyncSession(self, await self.session(session_id))

    async def add_support(
        self,
        session_id: str,
        support: Support,
        *,
        idempotency_key: str | None = None,
        **options: Option,
    ) -> AsyncSession:
        """See `Client.add_support`."""
        adapted = await self._add(session_id, support, idempotency_key, options)
        return AsyncSession(self, adapted.adaptation)

    async def remove(
        self,
        session_id: str,
        position: int,
        *,
        if_version: int | None = None,
        steps: int | None = None,
    ) -> AsyncSession:
        """See `Client.remove`."""
        options = {"steps": steps}
        made = await self._run(self._calls.remove(session_id, position, options, if_version))
        return AsyncSession(self, made)

    async def predict(
        self,
        session_id: str,
        images: Image | Iterable[Image],
        top_k: int | None = None,
        *,
        leave_out: bool = False,
    ) -> Predictions:
        """See `Client.predict`."""
        with await _in_thread(partial(unlabelled, images)) as given:
            given.warn()
            with self._bar("predicting", given) as bar:
                options = {"top_k": top_k}
                steps = self._calls.predict(
                    session_id, given.images, options, bar, leave_out=leave_out
                )
                return await self._run(steps)

    async def evaluate(self, session_id: str, queries: Support) -> Evaluation:
        """See `Client.evaluate`."""
        with await _in_thread(partial(labelled, queries)) as given:
            given.warn()
            with self._bar("evaluating", given) as bar:
                return await self._run(self._calls.evaluate(session_id, given.images, bar))

    async def report(
        self, session_id: str, *, embedding: bool | None = None, steps: int | None = None
    ) -> Report:
        """See `Client.report`."""
        options = {"embedding": embedding, "steps": steps}
        return await self._run(self._calls.report(session_id, options))

    async def export(
        self,
        session_id: str,
        target: str | PathLike[str] | None = None,
        format: ExportFormat | None = None,  # noqa: A002
    ) -> bytes:
        """See `Client.export`."""
        kind = export_format(target, format)
        content = await self._run(self._calls.export(session_id, kind))
        if target is not None:
            await _in_thread(partial(written, content, Path(target)))
        return content

    async def restore(
        self,
        exported: str | PathLike[str] | bytes | OpenFile,
        *,
        ttl_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncSession:
        """See `Client.restore`."""
        content = await _in_thread(partial(file_bytes, exported))
        options = {"ttl_seconds": ttl_seconds}
        made = await self._run(self._calls.restore(content, options, idempotency_key))
        return AsyncSession(self, made)

    async def session(self, session_id: str) -> SessionInfo:
        """See `Client.session`."""
        return await self._run(self._calls.session(session_id))

    async def sessions(self) -> AsyncIterator[SessionInfo]:
        """See `Client.sessions`."""
        after: str | None = None
        while True:
            listed, after = await self._run(self._calls.sessions(after))
            for info in listed:
                yield info
            if after is None:
                return

    async def forget(self, session_id: str) -> None:
        """See `Client.forget`."""
        await self._run(self._calls.forget(session_id))

    async def initializations(self) -> list[InitializationInfo]:
        """See `Client.initializations`."""
        return await self._run(self._calls.initializations())

    async def limits(self) -> Limits:
        """See `Client.limits`."""
        return await self._run(self._calls.known_limits())

    async def _add(
        self, session_id: str, support: Support, key: str | None, options: Mapping[str, Option]
    ) -> Adapted:
        with await _in_thread(partial(labelled, support)) as given:
            given.warn()
            with self._bar("adding", given) as bar:
                steps = self._calls.add(session_id, given.images, options, key, bar)
                return await self._run(steps)

    def _bar(self, title: str, given: Sources) -> contextlib.AbstractContextManager[Any]:
        return shown_bar(title, len(given.images), self._progress)

    async def _run(self, steps: Steps[Made]) -> Made:
        """Do one step after the other; what goes wrong is thrown where the step was asked for."""
        outcome: Any = None
        failure: Exception | None = None
        try:
            while True:
                step = steps.send(outcome) if failure is None else steps.throw(failure)
                outcome = failure = None
                try:
                    outcome = await self._do(step)
                except Exception as raised:  # noqa: BLE001
                    failure = raised
        except StopIteration as done:
            made: Made = done.value
            return made

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Request):
            return await self._http.request(**request_options(step))
        if isinstance(step, Pause):
            return await anyio.sleep(step.seconds)
        return await _in_thread(step.do)


class AsyncSession(KnownSession):
    """What `Session` is, for programs that await."""

    def __init__(
        self,
        client: AsyncClient,
        info: SessionInfo,
        sources: tuple[str | None, ...] | None = None,
    ) -> None:
        super().__init__(info, sources)
        self._client = client

    async def __aenter__(self) -> AsyncSession:
        """Use the session as a context that deletes it."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Delete the session, if it is there still; another error is not covered up."""
        with contextlib.suppress(NotFound if error is None else InklingError):
            await self.delete()

    async def predict(
        self,
        images: Image | Iterable[Image],
        top_k: int | None = None,
        *,
        leave_out: bool = False,
    ) -> Predictions:
        """See `Client.predict`."""
        return await self._client.predict(self.session_id, images, top_k, leave_out=leave_out)

    async def add(
        self, support: Support, *, idempotency_key: str | None = None, **options: Option
    ) -> AsyncSession:
        """See `Session.add`."""
        adding = self._client._add(self.session_id, support, idempotency_key, options)
        self._has_grown(await adding)
        return self

    async def remove(self, position: int, *, steps: int | None = None) -> AsyncSession:
        """See `Session.remove`."""
        version = self.info.version
        made = await self._client.remove(self.session_id, position, if_version=version, steps=steps)
        self._has_shrunk(made.adaptation, position)
        return self

    async def evaluate(self, queries: Support) -> Evaluation:
        """See `Client.evaluate`."""
        return await self._client.evaluate(self.session_id, queries)

    async def report(self, *, embedding: bool | None = None, steps: int | None = None) -> Report:
        """See `Session.report`."""
        report = await self._client.report(self.session_id, embedding=embedding, steps=steps)
        return self._with_sources(report)

    async def export(
        self,
        target: str | PathLike[str] | None = None,
        format: ExportFormat | None = None,  # noqa: A002
    ) -> bytes:
        """See `Client.export`."""
        return await self._client.export(self.session_id, target, format)

    async def refresh(self) -> SessionInfo:
        """See `Session.refresh`."""
        return await self._client.session(self.session_id)

    async def delete(self) -> None:
        """Delete the session."""
        await self._client.forget(self.session_id)


async def _in_thread(work: Callable[[], Done]) -> Done:
    return await anyio.to_thread.run_sync(work)
