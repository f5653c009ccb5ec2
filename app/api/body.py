"""Reading a request's body within bounds of size and time."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import Request
from python_multipart.multipart import parse_options_header

from ..errors import InklingError, MalformedBody, TooLarge
from .form import Form, FormReader

BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
"""What RFC 2046 allows in a boundary."""
DRAIN_SECONDS = 5.0
MOST_DIGITS = 18


@dataclass(frozen=True)
class BodyLimits:
    """Bounds of one request body."""

    max_bytes: int
    max_parts: int


async def read_body(request: Request, limits: BodyLimits) -> bytes:
    """The whole body. Raises TooLarge."""
    return b"".join([chunk async for chunk in _bounded(request, limits)])


async def read_form(request: Request, limits: BodyLimits) -> Form:
    """The fields of a multipart body.

    Raises TooLarge, and MalformedBody: also when the closing boundary is missing,
    which parsers pass as a shorter form.
    """
    _, parameters = parse_options_header(request.headers["content-type"])
    boundary = parameters.get(b"boundary", b"")
    if not BOUNDARY.fullmatch(boundary):
        raise MalformedBody(
            "expected a boundary of 1 to 70 plain characters in the Content-Type of the form, "
            f"got {boundary.decode('latin-1')[:100]!r}"
        )
    if parameters.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):
        raise MalformedBody("expected a form in UTF-8, got another charset in its Content-Type")
    reader = FormReader(boundary, limits.max_parts)
    async for chunk in _bounded(request, limits):
        reader.write(chunk)
    return reader.form()


async def _bounded(request: Request, limits: BodyLimits) -> AsyncGenerator[bytes, None]:
    size = _declared_size(request)
    received = 0
    chunks = _chunks(request)
    if size is not None and size > limits.max_bytes:
        if "expect" not in request.headers:
            await _drain(chunks)
        raise TooLarge("request body in bytes", limits.max_bytes, size)
    async for chunk in chunks:
        received += len(chunk)
        if received > limits.max_bytes:
            await _drain(chunks)
            raise TooLarge("request body in bytes", limits.max_bytes, size)
        yield chunk


def _declared_size(request: Request) -> int | None:
    declared = request.headers.get("content-length")
    if declared is None:
        return None
    if not declared.isdecimal() or len(declared) > MOST_DIGITS:
        raise MalformedBody(
            f"expected a Content-Length of at most {MOST_DIGITS} digits, got {declared[:50]!r}"
        )
    return int(declared)


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    """The chunks of a body. Raises MalformedBody, and what the gate's `receive` does."""
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise MalformedBody("the connection was closed before the body was whole")
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk


async def _drain(chunks: AsyncGenerator[bytes, None]) -> None:
    """Read on for a little while, since many clients read no answer before they have sent all."""
    with contextlib.suppress(InklingError, TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in chunks:
                pass
