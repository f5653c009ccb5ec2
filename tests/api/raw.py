"""Requests as bytes over a socket of their own, for what HTTP clients do not send."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

SECONDS = 30


@contextlib.contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A connection to a server."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port or 80), timeout=SECONDS) as open_:
        yield open_


def answers(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of the next answer."""
    content = b""
    while b"\r\n\r\n" not in content:
        content += connection.recv(65536)
    head, _, body = content.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split(b" ")[1]), json.loads(body)


def form(fields: list[tuple[str, bytes]], **texts: str) -> tuple[bytes, bytes]:
    """The Content-Type and the body of a form."""
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="%s"; filename="1.png"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in fields
    ] + [
        b'--edge\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (name.encode(), text.encode())
        for name, text in texts.items()
    ]
    return b"multipart/form-data; boundary=edge", b"".join(parts) + b"--edge--\r\n"


def request(path: str, kind: bytes, body: bytes, *headers: bytes) -> bytes:
    """A POST."""
    lines = [
        b"POST %s HTTP/1.1" % path.encode(),
        b"Host: 127.0.0.1",
        b"Content-Type: " + kind,
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join([*lines, b"", body])
