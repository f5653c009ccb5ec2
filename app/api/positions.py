"""Positions of support images as they come in paths."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Path

from ..errors import InvalidInput, Problem

PATTERN = "^[0-9]{1,9}$"

PathPosition = Annotated[str, Path(json_schema_extra={"pattern": PATTERN})]
"""A part of a path that has to be a position, which `position_of` makes of it."""


def position_of(part: PathPosition) -> int:
    """The position in a path. Raises InvalidInput for what is none."""
    if not re.fullmatch(PATTERN, part, re.ASCII):
        message = f"expected a whole number from 0, got {part[:50]!r}"
        raise InvalidInput([Problem("not_a_number", message, "position")])
    return int(part)
