"""Reading a request's body within bounds of size and time, and taking multipart forms apart."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from ..errors import DeadlineExceeded, MalformedBody, TooLarge

BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
"""What RFC 2046 allows in a boundary."""
DRAIN_SECONDS = 5.0


@dataclass(frozen=True)
class BodyLimits:
    """Bounds of one request body."""

    max_bytes: int
    seconds: float
    max_parts: int


@dataclass(frozen=True)
class FormFile:
    """A file field of a form."""

    field: str
    content: bytes


@dataclass(frozen=True)
class Form:
    """A multipart form in the order sent, files and texts apart."""

    files: tuple[FormFile, ...]
    texts: tuple[tuple[str, str], ...]


class SlowBody(DeadlineExceeded):
    """A body that did not arrive in time."""


async def read_body(request: Request, limits: BodyLimits) -> bytes:
    """The whole body. Raises TooLarge and SlowBody."""
    return b"".join([chunk async for chunk in _bounded(request, limits)])


async def read_form(request: Request, limits: BodyLimits) -> Form:
    """The fields of a multipart body.

    Raises TooLarge, SlowBody, and MalformedBody: also when the closing boundary is missing,
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
    parser = MultiPartParser(
        Headers({"content-type": f'multipart/form-data; boundary="{boundary.decode()}"'}),
        _closed_once(b"\r\n--" + boundary + b"--", _bounded(request, limits)),
        max_files=limits.max_parts,
        max_fields=limits.max_parts,
    )
    # The body is bounded already; parts stay in memory instead of going to a disk.
    parser.spool_max_size = limits.max_bytes
    try:
        form = await parser.parse()
    except MultiPartException as broken:
        raise MalformedBody(f"the multipart form cannot be read: {broken.message}") from None
    files, texts = [], []
    try:
        for field, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.append(FormFile(field, await value.read()))
            else:
                texts.append((field, value))
    finally:
        await form.close()
    return Form(tuple(files), tuple(texts))


async def _closed_once(
    delimiter: bytes, stream: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Pass a form through; raise MalformedBody unless it has its closing delimiter just once.

    Without it parsers drop the last part, with a second one all that follows the first.
    """
    carried, found = b"\r\n", 0
    async for chunk in stream:
        found += (carried + chunk).count(delimiter)
        carried = (carried + chunk)[-(len(delimiter) - 1) :]
        yield chunk
    closing = delimiter.strip().decode()
    if not found:
        raise MalformedBody(
            f"the multipart form is cut off: expected its closing boundary {closing} at the end"
        )
    if found > 1:
        raise MalformedBody(
            f"expected the closing boundary {closing} once, at the end, got it {found} times"
        )


async def _bounded(request: Request, limits: BodyLimits) -> AsyncGenerator[bytes, None]:
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdigit() else None
    if size is not None and size > limits.max_bytes and "expect" in request.headers:
        raise TooLarge("request body in bytes", limits.max_bytes, size)
    received = 0
    async for chunk in _chunks(request, limits.seconds):
        received += len(chunk)
        if received > limits.max_bytes or (size or 0) > limits.max_bytes:
            await _drain(request)
            raise TooLarge("request body in bytes", limits.max_bytes, size)
        yield chunk


async def _chunks(request: Request, seconds: float) -> AsyncGenerator[bytes, None]:
    """The chunks of a body. Raises SlowBody and MalformedBody."""
    stream = request.stream()
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise SlowBody("sending the request body", seconds) from None
        except ClientDisconnect:
            raise MalformedBody("the connection was closed before the body was whole") from None
        if chunk is None:
            return
        yield chunk


async def _drain(request: Request) -> None:
    """Read on for a little while, since many clients read no answer before they have sent all."""
    with contextlib.suppress(SlowBody, MalformedBody):
        async for _ in _chunks(request, DRAIN_SECONDS):
            pass
