"""One connection of a client, within bounds: uvicorn's HTTP protocol, and what it leaves open.

Bounded are the connections, the bytes and the time of a request's head, the requests that are sent
ahead of their answers, the time of an idle connection and of one whose answers are not read. What
is refused here never becomes a request of the application; under overload these are calls that
would find no room, so that refusing them leaves the time to those that did. An offer to upgrade to
another protocol is passed over (RFC 9110, sec. 7.8), and an answer that ends a connection does not
cut off the client that is still sending (RFC 9112, sec. 9.6).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from .problems import MEDIA_TYPE

LINGER_SECONDS = 5.0
"""How long a client may go on sending a body behind an answer that ends the connection."""
WORKED_ON = (b"/adapt", b"/predict", b"/support", b"/evaluate", b"/report")
"""How the paths of calls end that are refused under overload."""
MAX_PIPELINED = 32
"""Requests that are taken ahead of the answer to an earlier one."""
SWEEP_SECONDS = 1.0
log = logging.getLogger("inkling.connections")


@dataclass(frozen=True)
class ConnectionLimits:
    """Bounds of a server's connections; ``head_bytes`` are those of request line and headers."""

    max_connections: int = 1000
    head_bytes: int = 64 << 10
    head_seconds: float = 10.0
    idle_seconds: float = 65.0
    unread_seconds: float = 30.0


@dataclass
class _Wait:
    """A connection that waits for a request, or for the rest of its head, until ``deadline``."""

    deadline: float
    begun: bool = False


class Connections:
    """The connections of a server, and which of them wait, those that wait the longest first."""

    def __init__(
        self, limits: ConnectionLimits, overloaded: Callable[[int], bool] = lambda _: False
    ) -> None:
        """``overloaded`` tells that no further call, behind others, would find room."""
        self.limits, self.overloaded = limits, overloaded
        self.refused, self.shed = 0, 0
        self._n_coming = 0
        self.problems: Counter[str] = Counter()
        self._all: dict[BoundedProtocol, _Unread] = {}
        self._waiting: dict[BoundedProtocol, _Wait] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, connection: BoundedProtocol) -> bool:
        return connection in self._all

    def opened(self, connection: BoundedProtocol) -> bool:
        """Take a connection in, for which an idle one may have to go; False where none is idle."""
        if len(self._all) >= self.limits.max_connections:
            self.refused += 1
            idle = next(iter(self._waiting), None)
            if idle is None:
                return False
            idle.transport.abort()
            self.closed(idle)
        self._all[connection] = _Unread()
        self.waits(connection, self.limits.head_seconds)
        if self._sweep is None:
            self._sweep = connection.loop.call_later(SWEEP_SECONDS, self._look, connection.loop)
        return True

    def closed(self, connection: BoundedProtocol) -> None:
        """Forget a connection."""
        self._all.pop(connection, None)
        self._waiting.pop(connection, None)

    def waits(self, connection: BoundedProtocol, seconds: float) -> None:
        """Count a connection among those that wait."""
        if connection in self._all:
            self._waiting[connection] = _Wait(connection.loop.time() + seconds)

    def hears(self, connection: BoundedProtocol) -> None:
        """Some bytes came: if they begin a head, it has a time to be whole."""
        wait = self._waiting.get(connection)
        if wait is not None and not wait.begun:
            wait.begun, wait.deadline = True, connection.loop.time() + self.limits.head_seconds

    def works(self, connection: BoundedProtocol) -> None:
        """A head is whole."""
        self._waiting.pop(connection, None)

    def is_overloaded(self) -> bool:
        """Whether a further call would find no room."""
        return self.overloaded(self._n_coming)

    def comes(self, loop: asyncio.AbstractEventLoop) -> None:
        """A request begins in the next turn of the event loop, where the application counts it."""
        self._n_coming += 1
        loop.call_soon(self._has_come)

    def _has_come(self) -> None:
        self._n_coming -= 1

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the connections whose time is over."""
        now = loop.time()
        for connection in [c for c, wait in self._waiting.items() if wait.deadline <= now]:
            wait = self._waiting.pop(connection)
            if wait.begun:
                connection.refuse(408, "request-timeout", "The request's head took too long")
            else:
                connection.transport.close()
        for connection, unread in list(self._all.items()):
            left = connection.transport.get_write_buffer_size()
            if left == 0 or left != unread.left:
                unread.left, unread.since = left, now
            elif now - unread.since > self.limits.unread_seconds:
                connection.transport.abort()
        self._sweep = loop.call_later(SWEEP_SECONDS, self._look, loop) if self._all else None


@dataclass
class _Unread:
    """Bytes of answers that a client has ``left`` unread, and since when it has read none."""

    left: int = 0
    since: float = 0.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection. uvicorn makes it by `connection_class`."""

    kept: Connections

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head, self._head_bytes = True, 0
        self._offered: bytes | None = None
        self._deaf = self._sheds = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if not self.kept.opened(self):
            self.refuse(503, "unavailable", "The server has no connection left", retry=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.kept.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser. Bytes behind an answer that ended the connection are dropped."""
        self._unset_keepalive_if_required()
        if self._deaf:
            return
        self.kept.hears(self)
        in_head = self._in_head
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._pass_over_offer(data[offer.args[0] :])
            return
        except httptools.HttpParserError:
            if not self._deaf:
                self.refuse(400, "malformed-request", "The request is not HTTP/1.1")
            return
        if in_head and self._in_head:
            self._count_head(len(data))
            if self._head_bytes > self.kept.limits.head_bytes:
                self._refuse_head()

    def on_message_begin(self) -> None:
        """See `httptools.HttpRequestParser`."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_url(self, url: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        super().on_header(name, value)
        self._count_head(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """Begin a request, unless it is refused here or is to be read again without its offer."""
        if self._head_bytes > self.kept.limits.head_bytes:
            self._refuse_head()
            raise _Stop
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self.refuse(405, "method-not-allowed", "This server is no proxy")
                raise _Stop
            return
        n_hosts = sum(name == b"host" for name, _ in self.headers)
        if n_hosts > 1 or (not n_hosts and self.parser.get_http_version() == "1.1"):
            self.refuse(400, "malformed-request", f"Expected one Host header, got {n_hosts}")
            raise _Stop
        self._in_head = False
        self.kept.works(self)
        if len(self.pipeline) >= MAX_PIPELINED:
            self.pipeline[0][0].keep_alive = False
            self._deaf = True
            raise _Stop
        self._sheds = self._is_to_be_shed()
        if self._sheds:
            self._shed()
            return
        super().on_headers_complete()
        self.kept.comes(self.loop)
        self.cycle.transport = _Lingering(self)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        if not (self._sheds or self.cycle.response_complete):
            super().on_body(body)

    def on_message_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        if self._sheds or self.parser.should_upgrade():
            return
        if self.cycle.response_complete:
            self.cycle.more_body = False
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the request that was sent ahead, or wait for the next one."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:
            self.kept.waits(self, self.kept.limits.idle_seconds)

    def send_400_response(self, msg: str) -> None:
        """What uvicorn answers to what is not HTTP."""
        self.refuse(400, "malformed-request", msg)

    def refuse(self, status: int, kind: str, title: str, *, retry: bool = False) -> None:
        """Answer what never becomes a request, and end the connection."""
        self._deaf = True
        if self._cycle_runs():
            # The answers to requests that are whole come first, and end the connection.
            self.cycle.keep_alive = False
            if self.cycle.more_body:
                self.transport.close()
            return
        self.kept.problems[kind] += 1
        self.transport.write(_answer(status, kind, title, retry=retry, close=True))
        if self in self.kept:
            self.linger()
        else:
            self.transport.close()

    def linger(self) -> None:
        """End the connection when the client has stopped sending, or soon."""
        self._deaf = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _is_to_be_shed(self) -> bool:
        return (
            self.url.partition(b"?")[0].endswith(WORKED_ON)
            and not self.expect_100_continue
            and self.parser.should_keep_alive()
            and not self._cycle_runs()
            and self.kept.is_overloaded()
        )

    def _shed(self) -> None:
        """Refuse a call for which there is no room; its body is passed over."""
        self.kept.shed += 1
        self.transport.write(BUSY)
        self.kept.waits(self, self.kept.limits.idle_seconds)

    def _cycle_runs(self) -> bool:
        """Whether an earlier request is not answered yet."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _count_head(self, n_bytes: int) -> None:
        self._head_bytes += n_bytes

    def _refuse_head(self) -> None:
        limit = self.kept.limits.head_bytes
        self.refuse(431, "head-too-large", f"At most {limit:,} bytes of headers are accepted")

    def _pass_over_offer(self, rest: bytes) -> None:
        """Read the request's head once more as if it had not offered another protocol."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                others = b", ".join(t for t in tokens if t.lower() not in OFFERING)
                lines.append(name + b": " + others)
            elif name != b"upgrade":
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", rest]))


OFFERING = (b"upgrade", b"http2-settings")
"""Options of the Connection header that go with an offer."""


def _answer(status: int, kind: str, title: str, *, retry: bool, close: bool) -> bytes:
    """A problem, as bytes of HTTP."""
    content = json.dumps({"type": f"/problems/{kind}", "title": title, "status": status}).encode()
    head = [
        STATUS_LINE[status],
        f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\n".encode(),
        b"retry-after: 1\r\n" if retry else b"",
        b"connection: close\r\n" if close else b"",
        b"cache-control: no-store\r\n\r\n",
    ]
    return b"".join(head) + content


BUSY = _answer(503, "unavailable", "The server is busy; try again", retry=True, close=False)


class _Stop(Exception):
    """Raised out of a callback to have the parser stop."""


class _Lingering:
    """What a request answers by: the transport, closed only when its body is read."""

    def __init__(self, connection: BoundedProtocol) -> None:
        self._connection, self._transport = connection, connection.transport
        self._cycle = connection.cycle

    def write(self, data: bytes) -> None:
        """See `asyncio.Transport`."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """See `asyncio.Transport`."""
        return self._transport.is_closing()

    def close(self) -> None:
        """See `asyncio.Transport`."""
        if self._cycle.more_body and self._cycle.response_complete:
            self._connection.linger()
        else:
            self._transport.close()


def connection_class(connections: Connections) -> Callable[..., asyncio.Protocol]:
    """The protocol of a server's connections, as uvicorn's setting ``http`` takes it."""
    return type("Connection", (BoundedProtocol,), {"kept": connections})
