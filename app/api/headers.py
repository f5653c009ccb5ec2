"""Headers of calls on sessions: Idempotency-Key, If-Match, ETag, Location, Link."""

from __future__ import annotations

import re
from urllib.parse import quote

from fastapi import Request

from ..errors import InvalidInput, Problem
from .paths import prefix

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ENTITY_TAG = re.compile(r'(W/)?"([^"]*)"')
_ENTITY_TAGS = re.compile(rf"\s*{_ENTITY_TAG.pattern}\s*(,\s*{_ENTITY_TAG.pattern}\s*)*")


def idempotency_key(request: Request) -> str | None:
    """The caller's key. Raises InvalidInput for one that is not 1 to 255 visible characters."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        came = f"{len(keys)} headers" if len(keys) > 1 else f"{len(keys[0])} characters"
        message = f"expected one key of 1 to 255 visible ASCII characters, got {came}"
        raise InvalidInput([Problem("bad_key", message, "Idempotency-Key")])
    return keys[0]


def if_match(request: Request) -> frozenset[str] | None:
    """The versions that the caller means; None for any. Raises InvalidInput.

    A weak tag (`W/"..."`) matches none (RFC 9110, sec. 13.1.1).
    """
    sent = request.headers.get("if-match")
    if sent is None or sent.strip() == "*":
        return None
    if not _ENTITY_TAGS.fullmatch(sent):
        message = f"expected entity tags in quotes, as in an answer's ETag, got {sent[:50]!r}"
        raise InvalidInput([Problem("bad_entity_tag", message, "If-Match")])
    return frozenset(tag for weak, tag in _ENTITY_TAG.findall(sent) if not weak)


def entity_tag(version: int) -> str:
    """The ETag of a version of a session."""
    return f'"{version}"'


def session_path(request: Request, session_id: str) -> str:
    """Where a session is found."""
    return f"{prefix(request.scope)}/sessions/{session_id}"


def next_link(request: Request, limit: int, after: str) -> str:
    """The Link header that leads to the next page of sessions."""
    return f'<{prefix(request.scope)}/sessions?limit={limit}&after={quote(after)}>; rel="next"'
