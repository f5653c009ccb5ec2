"""The client that waits for its answers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

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

Option = str | float | bool | None


class Client:
    """Calls one server, and waits for its answers.

    Calls whose answers are lost, or that the server has no room for, are sent again by ``retries``;
    those that change something under a key, so that they change it once. Large photographs are made
    smaller before they are sent unless ``shrink`` is false; calls that are larger than the server
    takes are divided. ``progress`` shows a bar on standard error for every call with images, or
    for none; by default for many images on a terminal. ``transport`` is httpx's, in place of a
    connection.

    Every refusal is a RequestRefused with the server's reasons, of a class for each kind; a server
    that does not answer is a ServerUnreachable.
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        options = http_options(base_url, timeout_seconds, connect_timeout_seconds, api_key)
        self._http = httpx.Client(**options, transport=transport)
        self._calls = Calls(retries or Retries(), shrink)
        self._progress = progress

    def __enter__(self) -> Client:
        """Use the client as a context that closes its connections."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def adapt(
        self, support: Support, *, idempotency_key: str | None = None, **options: Option
    ) -> Session:
        """Make a session from images by label; options are those of `POST /adapt`.

        The call has a key of its own unless ``idempotency_key`` is given, and makes one session
        however often it is sent. Images that do not fit one call are added to the session that the
        first of them make; when that fails, it is deleted.

        Files of a folder or archive that are left out are told by a warning, FilesLeftOut.

        Raises InvalidInput for a label without images, BadData for a folder or archive that is no
        support set, TypeError for what is no image, OSError for a file that cannot be read,
        RequestRefused for what the server says, ServerUnreachable where it says nothing.
        """
        with labelled(support) as given:
            given.warn()
            with self._bar("adapting", given) as bar:
                steps = self._calls.adapt(given.images, options, idempotency_key, bar)
                adapted = self._run(steps)
        return Session(self, adapted.adaptation, adapted.sources)

    def open(self, session_id: str) -> Session:
        """A session that was made before. Raises NotFound where it has ended."""
        return Session(self, self.session(session_id))

    def add_support(
        self,
        session_id: str,
        support: Support,
        *,
        idempotency_key: str | None = None,
        **options: Option,
    ) -> Session:
        """Add images, of new labels too, to a session; it adapts again to all it has.

        Options are those of `POST /sessions/{id}/support`; raises as `adapt` does.
        """
        adapted = self._add(session_id, support, idempotency_key, options)
        return Session(self, adapted.adaptation)

    def remove(
        self,
        session_id: str,
        position: int,
        *,
        if_version: int | None = None,
        steps: int | None = None,
    ) -> Session:
        """Take the image at a position of the support set out of a session, which adapts again.

        Later positions move down by one. Raises Conflict where the session is not at
        ``if_version``, NotFound where there is no such position.
        """
        options = {"steps": steps}
        made = self._run(self._calls.remove(session_id, position, options, if_version))
        return Session(self, made)

    def predict(
        self,
        session_id: str,
        images: Image | Iterable[Image],
        top_k: int | None = None,
        *,
        leave_out: bool = False,
    ) -> Predictions:
        """Classify images with a session's adapted model, in their order.

        The path of a folder or zip archive stands for all images in it, however deep, by their
        names. With ``leave_out`` images that the server cannot use are told in `left_out` of the
        answer, and the others are classified. Raises as `adapt` does.
        """
        with unlabelled(images) as given:
            given.warn()
            with self._bar("predicting", given) as bar:
                options = {"top_k": top_k}
                steps = self._calls.predict(
                    session_id, given.images, options, bar, leave_out=leave_out
                )
                return self._run(steps)

    def evaluate(self, session_id: str, queries: Support) -> Evaluation:
        """Measure a session on images whose labels are known. Raises as `adapt` does."""
        with labelled(queries) as given:
            given.warn()
            with self._bar("evaluating", given) as bar:
                return self._run(self._calls.evaluate(session_id, given.images, bar))

    def report(
        self, session_id: str, *, embedding: bool | None = None, steps: int | None = None
    ) -> Report:
        """Check a session's support set against itself; ``embedding`` asks for its map, too."""
        options = {"embedding": embedding, "steps": steps}
        return self._run(self._calls.report(session_id, options))

    def export(
        self,
        session_id: str,
        target: str | PathLike[str] | None = None,
        format: ExportFormat | None = None,  # noqa: A002
    ) -> bytes:
        """A session as ONNX or safetensors, written to ``target`` if one is given.

        Without a ``format`` the ending of ``target`` tells it. Raises BadData where it does not.
        """
        kind = export_format(target, format)
        content = self._run(self._calls.export(session_id, kind))
        if target is not None:
            written(content, Path(target))
        return content

    def restore(
        self,
        exported: str | PathLike[str] | bytes | OpenFile,
        *,
        ttl_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> Session:
        """A session from a safetensors file that a server exported; raises as `adapt` does."""
        content, options = file_bytes(exported), {"ttl_seconds": ttl_seconds}
        made = self._run(self._calls.restore(content, options, idempotency_key))
        return Session(self, made)

    def session(self, session_id: str) -> SessionInfo:
        """What the server knows of a session."""
        return self._run(self._calls.session(session_id))

    def sessions(self) -> Iterator[SessionInfo]:
        """What the server knows of each of the caller's sessions, the newest first."""
        after: str | None = None
        while True:
            listed, after = self._run(self._calls.sessions(after))
            yield from listed
            if after is None:
                return

    def forget(self, session_id: str) -> None:
        """Delete a session."""
        self._run(self._calls.forget(session_id))

    def initializations(self) -> list[InitializationInfo]:
        """What the server has loaded."""
        return self._run(self._calls.initializations())

    def limits(self) -> Limits:
        """What the server takes in one call, asked for once."""
        return self._run(self._calls.known_limits())

    def _add(
        self, session_id: str, support: Support, key: str | None, options: Mapping[str, Option]
    ) -> Adapted:
        with labelled(support) as given:
            given.warn()
            with self._bar("adding", given) as bar:
                return self._run(self._calls.add(session_id, given.images, options, key, bar))

    def _bar(self, title: str, given: Sources) -> contextlib.AbstractContextManager[Any]:
        return shown_bar(title, len(given.images), self._progress)

    def _run(self, steps: Steps[Made]) -> Made:
        """Do one step after the other; what goes wrong is thrown where the step was asked for."""
        outcome: Any = None
        failure: Exception | None = None
        try:
            while True:
                step = steps.send(outcome) if failure is None else steps.throw(failure)
                outcome = failure = None
                try:
                    outcome = self._do(step)
                except Exception as raised:  # noqa: BLE001
                    failure = raised
        except StopIteration as done:
            made: Made = done.value
            return made

    def _do(self, step: Step) -> Any:
        if isinstance(step, Request):
            return self._http.request(**request_options(step))
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        return step.do()


class Session(KnownSession):
    """A session of a client; as a context it is deleted at the end.

    Methods raise as those of `Client` do.
    """

    def __init__(
        self, client: Client, info: SessionInfo, sources: tuple[str | None, ...] | None = None
    ) -> None:
        super().__init__(info, sources)
        self._client = client

    def __enter__(self) -> Session:
        """Use the session as a context that deletes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Delete the session, if it is there still; another error is not covered up."""
        with contextlib.suppress(NotFound if error is None else InklingError):
            self.delete()

    def predict(
        self,
        images: Image | Iterable[Image],
        top_k: int | None = None,
        *,
        leave_out: bool = False,
    ) -> Predictions:
        """See `Client.predict`."""
        return self._client.predict(self.session_id, images, top_k, leave_out=leave_out)

    def add(
        self, support: Support, *, idempotency_key: str | None = None, **options: Option
    ) -> Session:
        """Add images, of new labels too; see `Client.add_support`. Gives the session itself."""
        self._has_grown(self._client._add(self.session_id, support, idempotency_key, options))
        return self

    def remove(self, position: int, *, steps: int | None = None) -> Session:
        """Take an image out, as long as the session is as this object knows it.

        See `Client.remove`. Gives the session itself.
        """
        version = self.info.version
        made = self._client.remove(self.session_id, position, if_version=version, steps=steps)
        self._has_shrunk(made.adaptation, position)
        return self

    def evaluate(self, queries: Support) -> Evaluation:
        """See `Client.evaluate`."""
        return self._client.evaluate(self.session_id, queries)

    def report(self, *, embedding: bool | None = None, steps: int | None = None) -> Report:
        """See `Client.report`; suspects have the paths of their files where they are known."""
        report = self._client.report(self.session_id, embedding=embedding, steps=steps)
        return self._with_sources(report)

    def export(
        self,
        target: str | PathLike[str] | None = None,
        format: ExportFormat | None = None,  # noqa: A002
    ) -> bytes:
        """See `Client.export`."""
        return self._client.export(self.session_id, target, format)

    def refresh(self) -> SessionInfo:
        """What the server knows of the session now."""
        return self._client.session(self.session_id)

    def delete(self) -> None:
        """Delete the session."""
        self._client.forget(self.session_id)
