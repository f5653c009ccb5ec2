"""What a Content-Type says of a body: its media type, its boundary, and that it is in UTF-8."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from ..errors import MalformedBody, UnsupportedMediaType
from .parameters import parameters, values_of

MULTIPART, JSON = "multipart/form-data", "application/json"
OCTETS = "application/octet-stream"
UTF_8 = ("utf-8", "utf8", "us-ascii")
MAX_BOUNDARY_LENGTH = 256
SHOWN = 100
"""Characters of what came that a message repeats."""


@dataclass(frozen=True)
class ContentType:
    """A media type that is read here; ``boundary`` of a form, b"" of others."""

    media_type: str
    boundary: bytes = b""


def content_type(request: Request, expected: tuple[str, ...] = (MULTIPART, JSON)) -> ContentType:
    """The Content-Type of a call, which is one of those that are ``expected``.

    Raises UnsupportedMediaType, and MalformedBody for a charset other than UTF-8 and for a form
    without a boundary.
    """
    sent = request.headers.getlist("content-type")
    if len(sent) > 1:
        raise MalformedBody(f"expected one Content-Type, got {len(sent)}")
    media_type = "".join(sent).partition(";")[0].strip().lower()
    if media_type not in expected:
        raise UnsupportedMediaType(expected, sent[0][:SHOWN] if sent else None)
    found = parameters(sent[0], escaping=True)
    if found is None:
        raise MalformedBody(f"expected TYPE; NAME=VALUE in Content-Type, got {sent[0][:SHOWN]!r}")
    for charset in values_of("charset", found):
        if charset.lower() not in UTF_8:
            raise MalformedBody(
                f"expected a body in UTF-8, got charset {charset[:SHOWN]!r} in its Content-Type"
            )
    if media_type != MULTIPART:
        return ContentType(media_type)
    return ContentType(media_type, _boundary(values_of("boundary", found)))


def _boundary(sent: list[str]) -> bytes:
    if not sent or not sent[0]:
        raise MalformedBody(
            "expected a boundary in the Content-Type of the form (multipart/form-data; "
            "boundary=...), got none; most clients add it where Content-Type is left to them"
        )
    if len(set(sent)) > 1 or len(sent[0]) > MAX_BOUNDARY_LENGTH:
        raise MalformedBody(
            f"expected one boundary of 1 to {MAX_BOUNDARY_LENGTH} characters in the Content-Type "
            f"of the form, got {' and '.join(repr(boundary[:SHOWN]) for boundary in sent[:2])}"
        )
    return sent[0].encode("latin-1")
