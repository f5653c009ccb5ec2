"""A proxy that passes requests on to a server, one by one, and does harm where it is told to."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

PIECE = 65_536
HEAD_ENDS = b"\r\n\r\n"


class Exchange:
    """One request on its way: the ends it goes between, and what is passed between them."""

    def __init__(self, client: socket.socket, server: tuple[str, int], request: bytes) -> None:
        self.client, self.request, self._server = client, request, server

    def answered(self) -> bytes:
        """What the server answers."""
        with socket.create_connection(self._server) as upstream:
            upstream.sendall(self.request)
            return message(upstream)

    def begin(self, n_bytes: int) -> None:
        """Send a part of the request alone."""
        with socket.create_connection(self._server) as upstream:
            upstream.sendall(self.request[:n_bytes])

    def until_given_up(self) -> None:
        """Wait until the client hangs up."""
        select.select([self.client], [], [])


Fault = Callable[[Exchange], bytes]
"""What is sent to the client in place of the answer; the connection is closed behind it."""


def refused(_: Exchange) -> bytes:
    """The server never hears of the call."""
    return b""


def request_cut(exchange: Exchange) -> bytes:
    exchange.begin(len(exchange.request) // 2)
    return b""


def answer_lost(exchange: Exchange) -> bytes:
    exchange.answered()
    return b""


def answer_cut_in_its_head(exchange: Exchange) -> bytes:
    return exchange.answered()[:20]


def answer_cut_in_its_body(exchange: Exchange) -> bytes:
    return exchange.answered()[:-10]


def answer_cut_and_no_length_told(exchange: Exchange) -> bytes:
    head, _, body = exchange.answered().partition(HEAD_ENDS)
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    return b"\r\n".join([*lines, b"connection: close"]) + HEAD_ENDS + body[:-10]


def answer_too_late(exchange: Exchange) -> bytes:
    exchange.answered()
    exchange.until_given_up()
    return b""


def not_answered_in_time(exchange: Exchange) -> bytes:
    exchange.until_given_up()
    return b""


def problem(status: int, kind: str, **headers: str) -> Fault:
    """A refusal in the words of a server that is out of room, or still at work."""
    content = json.dumps({"type": f"/problems/{kind}", "title": kind, "status": status}).encode()
    lines = [f"HTTP/1.1 {status} Refused", "content-type: application/problem+json"]
    lines += [f"content-length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda _: "\r\n".join(lines).encode() + HEAD_ENDS + content


STILL_RUNNING = problem(409, "idempotency-key-in-use", retry_after="0")
FULL = problem(503, "unavailable", retry_after="0")
AT_A_LIMIT = problem(429, "tenant-limit", retry_after="0")


class Proxy:
    """Listens at ``url``; counts the requests that came, by method and path.

    ``faults`` are those of the first, second, ... request of a method and path, such as
    `POST /adapt`; a session's id in it is a star.
    """

    def __init__(self, server: str, faults: Mapping[str, Sequence[Fault]]) -> None:
        host, port = server.removeprefix("http://").split(":")
        self._server = host, int(port)
        self._faults = {name: list(each) for name, each in faults.items()}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.seen: Counter[str] = Counter()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def is_done(self) -> bool:
        """Whether all the harm was done."""
        return not any(self._faults.values())

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while request := message(client):
                name = _name(request)
                self.seen[name] += 1
                exchange = Exchange(client, self._server, request)
                faults = self._faults.get(name)
                if faults:
                    client.sendall(faults.pop(0)(exchange))
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(exchange.answered())


@contextlib.contextmanager
def between(server: str, faults: Mapping[str, Sequence[Fault]]) -> Iterator[Proxy]:
    """A proxy, all of whose harm has to have been done in the end."""
    proxy = Proxy(server, faults)
    with contextlib.closing(proxy):
        yield proxy
    assert proxy.is_done


def message(source: socket.socket) -> bytes:
    """A whole request or answer, whose length its head tells; b"" at the end of a connection."""
    content = b""
    while HEAD_ENDS not in content:
        if not (more := source.recv(PIECE)):
            return b""
        content += more
    head, _, body = content.partition(HEAD_ENDS)
    lengths = [
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    parts, left = [content], sum(lengths) - len(body)
    while left > 0:
        more = source.recv(PIECE)
        if not more:
            raise OSError("cut off")
        parts.append(more)
        left -= len(more)
    return b"".join(parts)


def _name(request: bytes) -> str:
    method, target, _ = request.split(b"\r\n", 1)[0].decode().split(" ")
    parts = target.partition("?")[0].split("/")
    if len(parts) > 2 and parts[1] == "sessions":
        parts[2] = "*"
    return f"{method} {'/'.join(parts)}"
