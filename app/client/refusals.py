"""What a server refuses, as errors that callers tell apart. Each carries the problem document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from ..errors import Problem, RequestRefused, ServerUnreachable

PROBLEM_JSON = "application/problem+json"
SHOWN = 200
"""Characters of an answer that is no problem document."""


class NotFound(RequestRefused):
    """A session, position or path that is not there (404): it ended, was deleted or never was."""


class Unauthorised(RequestRefused):
    """A caller that is not let in: without a good key (401), or by a foreign name (403)."""


class InputRefused(RequestRefused):
    """Images, labels or options that cannot be worked with (400, 413, 415, 422).

    ``problems`` has each, with its place; nothing was stored.
    """

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong; empty where the server tells it in one sentence."""
        return tuple(
            Problem(
                item.get("code", ""), item.get("message", ""), item.get("field"), item.get("index")
            )
            for item in self.problem.get("problems", ())
        )


class Conflict(RequestRefused):
    """A session that is not as the call needs it (409, 412).

    It has changed meanwhile, keeps no support set, or is of an initialization that is not loaded.
    """


class LimitReached(RequestRefused):
    """A caller that has as much as it may have (429); ``retry_after`` tells when to ask again."""


class ServerBusy(RequestRefused):
    """A server that cannot take the call on now (503); ``retry_after`` tells when to ask again."""


class TookTooLong(RequestRefused):
    """Work that was not done within the server's deadline (504)."""


class ServerFault(RequestRefused):
    """Something that went wrong in the server (500 and what is not named elsewhere)."""


class AnswerLost(ServerUnreachable):
    """A connection that was refused, or broke before an answer had come whole."""


class TimedOut(AnswerLost):
    """A server that did not answer within the client's time-out; it may work on the call still."""


BY_STATUS: Mapping[int, type[RequestRefused]] = {
    **dict.fromkeys((400, 413, 415, 422), InputRefused),
    **dict.fromkeys((401, 403), Unauthorised),
    404: NotFound,
    **dict.fromkeys((409, 412), Conflict),
    429: LimitReached,
    503: ServerBusy,
    504: TookTooLong,
}


def refusal_of(response: httpx.Response) -> RequestRefused:
    """The error that an answer stands for."""
    status = response.status_code
    fault = ServerFault if status >= httpx.codes.INTERNAL_SERVER_ERROR else RequestRefused
    return BY_STATUS.get(status, fault)(
        status, _problem(response), retry_after=_retry_after(response.headers.get("retry-after"))
    )


def _problem(response: httpx.Response) -> dict[str, Any]:
    if response.headers.get("content-type", "").startswith(PROBLEM_JSON):
        try:
            told = response.json()
        except ValueError:
            told = None
        if isinstance(told, dict):
            return told
    return {"detail": response.text[:SHOWN]}


def _retry_after(told: str | None) -> float | None:
    """Seconds; None where they are not told as a number."""
    return float(told) if told is not None and told.isascii() and told.isdigit() else None
