"""Heads of requests that are a little off: request line and headers."""

from __future__ import annotations

import random
from collections.abc import Callable

from ..images.damaged import bytes_changed

ODD_HEADERS = (
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 1, 1",
    b"Content-Length: 4e1",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Content-Encoding: gzip",
    b"Content-Encoding: deflate, gzip",
    b"Content-Encoding: br",
    b"Content-Type: text/plain",
    b"Content-Type: multipart/form-data",
    b"Content-Type: multipart/form-data; boundary=",
    b'Content-Type: multipart/form-data; boundary="\\"; boundary=b',
    b"Content-Type: multipart/form-data; boundary=" + b"b" * 300,
    b"Content-Type: application/json; charset=utf-16",
    b"Content-Type: application/json; charset",
    b"Content-Type: \xff\xfe",
    b"Expect: 100-continue",
    b"Expect: something",
    b"Host: [::1",
    b"Host: example.org:99999",
    b"Host: \xff",
    b"Host:",
    b"Origin: http://[",
    b"Origin: null",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    b"Upgrade: websocket\r\nConnection: upgrade",
    b"Connection: close, keep-alive, \xe9",
    b"If-Match: *",
    b'If-Match: "1", W/"2"',
    b'If-Match: "',
    b"Idempotency-Key: again",
    b"Idempotency-Key: \xe9",
    b"Idempotency-Key: " + b"k" * 300,
    b"Authorization: Bearer",
    b"Authorization: Bearer \xff",
    b"X-Forwarded-For: ::, \xff",
    b"X-Request-Id: \xff",
    b"Range: bytes=9-1",
    b"Accept: nothing/at-all",
    b"Cookie: a=" + b"b" * 70_000,
    b"No-Colon",
    b": no name",
    b" folded",
    b"Na me: x",
)
ODD_TARGETS = (
    b"/",
    b"*",
    b"//",
    b"/adapt?",
    b"/adapt?steps=1&steps=2",
    b"/adapt?%ff=%",
    b"/predict/",
    b"/sessions?limit=0",
    b"/sessions?limit=%00",
    b"/sessions?limit=5&after=%ff",
    b"/sessions?after=AAAA",
    b"/sessions?after=" + b"A" * 3000,
    b"/sessions/%00",
    b"/sessions/%ff",
    b"/sessions/..%2f..",
    b"/sessions/" + b"x" * 3000,
    b"/sessions/nothing/nothing",
    b"/problems/%ff",
    b"/docs/assets/..%2f..%2fetc",
    b"/docs/assets/%00",
    b"/livez?x",
    b"http://example.org/adapt",
    b"/\xff",
)
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"OPTIONS", b"TRACE", b"get", b"CONNECT")


def _with_odd_header(chooser: random.Random, lines: list[bytes]) -> list[bytes]:
    place = chooser.randint(1, len(lines))
    return [*lines[:place], chooser.choice(ODD_HEADERS), *lines[place:]]


def _with_another(chooser: random.Random, lines: list[bytes]) -> list[bytes]:
    odd = chooser.choice(ODD_HEADERS)
    name = odd.partition(b":")[0]
    return [odd if line.partition(b":")[0] == name else line for line in lines]


def _without_one(chooser: random.Random, lines: list[bytes]) -> list[bytes]:
    place = chooser.randrange(len(lines))
    return [*lines[:place], *lines[place + 1 :]]


def _twice(chooser: random.Random, lines: list[bytes]) -> list[bytes]:
    return [*lines, chooser.choice(lines)]


def _with_odd_target(chooser: random.Random, lines: list[bytes]) -> list[bytes]:
    return [b"%s %s HTTP/1.1" % (lines[0].split(b" ")[0], chooser.choice(ODD_TARGETS)), *lines[1:]]


def _with_odd_method(chooser: random.Random, lines: list[bytes]) -> list[bytes]:
    return [b" ".join((chooser.choice(METHODS), *lines[0].split(b" ")[1:])), *lines[1:]]


def _with_odd_version(chooser: random.Random, lines: list[bytes]) -> list[bytes]:
    odd = chooser.choice((b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2", b"HTTP/9.9", b"", b"HTTP/1.1 x"))
    return [b" ".join((*lines[0].split(b" ")[:2], odd)), *lines[1:]]


def _head_bytes(chooser: random.Random, lines: list[bytes]) -> list[bytes]:
    return bytes_changed(chooser, b"\r\n".join(lines)).split(b"\r\n")


HeadChange = Callable[[random.Random, list[bytes]], list[bytes]]
HEAD_CHANGES: tuple[tuple[str, HeadChange], ...] = (
    ("an odd header", _with_odd_header),
    ("another header", _with_another),
    ("a header less", _without_one),
    ("a header twice", _twice),
    ("an odd target", _with_odd_target),
    ("an odd method", _with_odd_method),
    ("an odd version", _with_odd_version),
    ("odd bytes", _head_bytes),
)
