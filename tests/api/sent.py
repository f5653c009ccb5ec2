"""How a server takes bytes that may be no request: one connection each, an answer or its end."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .raw import connected

CLOSED, WITHOUT_ANSWER = 0, -1


@dataclass(frozen=True)
class Sent:
    """A request's name, the status of its answer and the seconds that it took.

    The status is CLOSED where the connection was ended instead, and WITHOUT_ANSWER where neither
    came in time.
    """

    name: str
    status: int
    seconds: float


def send(url: str, name: str, content: bytes) -> Sent:
    """Send bytes, and wait for the head and body of an answer."""
    began = time.perf_counter()
    with connected(url) as connection:
        # What is refused early is not read to its end.
        with contextlib.suppress(ConnectionError):
            connection.sendall(content)
        try:
            status = _status(connection, of_head=content.startswith(b"HEAD "))
        except ConnectionError:
            status = CLOSED
        except TimeoutError:
            status = WITHOUT_ANSWER
    return Sent(name, status, time.perf_counter() - began)


def send_all(url: str, requests: Iterable[tuple[str, bytes]], clients: int) -> Iterator[Sent]:
    """Send requests from several clients at once."""
    with ThreadPoolExecutor(clients) as pool:
        yield from pool.map(lambda request: send(url, *request), requests)


def _status(connection: socket.socket, *, of_head: bool) -> int:
    """The status of the next answer that is final, read to its end; of HEAD it has no body."""
    content = b""
    while True:
        while b"\r\n\r\n" not in content:
            chunk = connection.recv(65536)
            if not chunk:
                return CLOSED
            content += chunk
        head, _, content = content.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        if status != http.client.CONTINUE:
            break
    told = re.search(rb"content-length: *(\d+)", head.lower())
    left = int(told[1]) - len(content) if told else 0
    while left > 0 and not of_head and status not in BODILESS:
        chunk = connection.recv(65536)
        if not chunk:
            break
        left -= len(chunk)
    return status


BODILESS = (http.client.NO_CONTENT, http.client.NOT_MODIFIED)
