"""What the calls that may be sent again have in common: their keys, and the answers of before."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request, Response

from ..service.values import Keyed, Replayed
from .headers import entity_tag, idempotency_key, session_path

Told = TypeVar("Told")


def keyed_call(
    request: Request, route: str, status: int, write: Callable[[Told], bytes]
) -> Keyed[Told] | None:
    """A call under its key, if it has one. Raises InvalidInput for what can be no key."""
    key = idempotency_key(request)
    return None if key is None else Keyed(key, route, status, write)


def session_answer(
    request: Request, content: bytes, session_id: str, version: int, status: int
) -> Response:
    """An answer about a session that a call has made or changed."""
    headers = {"ETag": entity_tag(version)}
    if status == 201:
        headers["Location"] = session_path(request, session_id)
    return Response(content, status, headers, media_type="application/json")


def replayed_answer(request: Request, replayed: Replayed) -> Response:
    """The answer of an earlier call with the same key once more."""
    told = json.loads(replayed.content)
    answer = session_answer(
        request, replayed.content, told["session_id"], told["version"], replayed.status
    )
    answer.headers["Idempotency-Replayed"] = "true"
    return answer
