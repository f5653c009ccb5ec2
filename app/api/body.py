"""Reading a request's body within bounds of size and time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import Request

from ..errors import InklingError, MalformedBody, TooLarge
from .content_coding import Unpacker, content_coding
from .form import Form, FormReader

DRAIN_SECONDS = 5.0
MOST_DIGITS = 18


@dataclass(frozen=True)
class BodyLimits:
    """Bounds of one request body."""

    max_bytes: int
    max_parts: int


async def read_body(request: Request, limits: BodyLimits) -> bytes:
    """The whole body, unpacked. Raises TooLarge, MalformedBody and UnsupportedCoding."""
    return b"".join([chunk async for chunk in _content(request, limits)])


async def read_form(request: Request, boundary: bytes, limits: BodyLimits) -> Form:
    """The fields of a multipart body. Raises as `read_body` does."""
    reader = FormReader(boundary, limits.max_parts)
    async for chunk in _content(request, limits):
        reader.write(chunk)
    return reader.form()


def _content(request: Request, limits: BodyLimits) -> AsyncGenerator[bytes, None]:
    """The chunks of a body, without the coding that it came in."""
    coding = content_coding(request.headers.getlist("content-encoding"))
    chunks = _bounded(request, limits)
    return chunks if coding is None else _unpacked(chunks, Unpacker(coding), limits.max_bytes)


async def _unpacked(
    chunks: AsyncGenerator[bytes, None], unpacker: Unpacker, max_bytes: int
) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in chunks:
        for piece in unpacker.unpack(chunk):
            received += len(piece)
            if received > max_bytes:
                raise TooLarge("unpacked request body in bytes", max_bytes)
            yield piece
            # A small chunk may unpack to much, and others want their turns.
            await asyncio.sleep(0)
    unpacker.end()


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
