"""Ids of sessions as they come in paths, forms and JSON."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Path

from ..errors import InvalidInput, Problem

PATTERN = "^[A-Za-z0-9_-]{1,128}$"
"""What an id looks like; those that are given out have 32 characters."""


def session_id_problem(session_id: str) -> Problem | None:
    """What is wrong with an id whose blanks are taken off; it is a secret and never repeated."""
    if re.fullmatch(PATTERN, session_id):
        return None
    came = "one in quotes" if session_id[:1] in ("'", '"') else f"{len(session_id):,} characters"
    message = (
        "expected the session_id of an answer, which consists of letters, digits, - and _, got "
        f"{came if session_id else 'none'}"
    )
    return Problem("bad_session_id", message, "session_id")


PathId = Annotated[str, Path(json_schema_extra={"pattern": PATTERN})]
"""A part of a path that has to be an id, which `session_id_of` makes of it."""


def session_id_of(part: PathId) -> str:
    """The id in a path, without blanks around it. Raises InvalidInput for what is none."""
    session_id = part.strip()
    problem = session_id_problem(session_id)
    if problem is not None:
        raise InvalidInput([problem])
    return session_id
