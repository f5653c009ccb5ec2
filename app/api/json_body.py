"""JSON bodies to models within bounds of memory and time, and what is wrong with those that differ.

A parser makes objects of whatever comes, a hundred bytes and more of each few, and holds the
interpreter meanwhile. So what makes objects is counted first: strings are cheap, however long.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import InvalidInput, MalformedBody, Problem

MAX_LISTED = 1000
"""More deviations than this are counted instead of listed."""
SMALL_BYTES = 1 << 16
"""Up to this a body is parsed where it is asked for, which takes less than a millisecond."""
OBJECT_BYTES = (b"[", b"{", b",")
"""What a JSON text has at least one of for each value but the first."""
PER_IMAGE, BESIDE_IMAGES = 128, 1024
"""How many of these a body may have: a label of 100 characters may consist of them."""
MAX_NUMBER_LENGTH = 1000
SHOWN = 50
"""Characters of what came that a message repeats."""
MAX_SHOWN_TEXT = 10

Body = TypeVar("Body", bound=BaseModel)
Read = TypeVar("Read")

_one_at_a_time = ThreadPoolExecutor(1, thread_name_prefix="large-json")


async def parsed(
    kind: type[Body], content: bytes, max_images: int, read: Callable[[Body], Read]
) -> Read:
    """What ``read`` makes of a JSON body of a kind; only one large body is parsed at a time.

    Raises MalformedBody, and InvalidInput with all that differs from the kind.
    """

    def work() -> Read:
        return read(parse(kind, content, max_images))

    if len(content) <= SMALL_BYTES:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_one_at_a_time, work)


def parse(kind: type[Body], content: bytes, max_images: int) -> Body:
    """A JSON text as a model. Raises as `parsed` does."""
    _check_number_of_values(content, BESIDE_IMAGES + PER_IMAGE * max_images)
    try:
        value = json.loads(
            content,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_decimal,
        )
    except UnicodeDecodeError:
        raise MalformedBody("expected JSON in UTF-8, got a body in another encoding") from None
    except RecursionError:
        raise MalformedBody("expected JSON of a few levels, got one nested too deeply") from None
    except ValueError as broken:
        raise MalformedBody(f"the body is not JSON that can be read: {broken}") from None
    try:
        return kind.model_validate(value, strict=True)
    except ValidationError as invalid:
        raise InvalidInput(_problems(kind, invalid)) from None


def _check_number_of_values(content: bytes, most: int) -> None:
    for mark in OBJECT_BYTES:
        left, place = most, content.find(mark)
        while place >= 0:
            left -= 1
            if left < 0:
                raise MalformedBody(f"expected JSON of at most {most:,} values, got more")
            place = content.find(mark, place + 1)


def _problems(kind: type[BaseModel], invalid: ValidationError) -> list[Problem]:
    if invalid.error_count() > MAX_LISTED:
        message = f"{invalid.error_count():,} entries are not of the form that is expected"
        return [Problem("too_many_problems", message)]
    return [
        Problem(error["type"], _message(kind, error), _place(error))
        for error in invalid.errors(include_url=False)
    ]


def _place(error: ErrorDetails) -> str | None:
    return "/".join(_shown(str(part)) for part in error["loc"]) or None


def _message(kind: type[BaseModel], error: ErrorDetails) -> str:
    code, came = error["type"], _came(error["input"])
    if code == "missing":
        return "expected it, got nothing"
    if code == "extra_forbidden":
        known = f" among {', '.join(kind.model_fields)}" if len(error["loc"]) == 1 else ""
        return f"expected a known field{known}, got another one"
    if code == "too_long":
        most, length = error["ctx"]["max_length"], error["ctx"]["actual_length"]
        return f"expected at most {most:,} entries, got {length or 'more'}"
    return f"expected {EXPECTED.get(code, 'another value')}, got {came}"


EXPECTED = {
    "model_type": "an object",
    "dict_type": "an object",
    "list_type": "a list",
    "string_type": "a text",
    "string_unicode": "texts of whole characters",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}
"""What was expected, by pydantic's name of the error."""


def _came(value: object) -> str:
    """What came, in JSON's words, without repeating texts that may be an image or a secret."""
    if isinstance(value, str):
        is_short = len(value) <= MAX_SHOWN_TEXT
        return f"the text {_shown(value)!r}" if is_short else f"a text of {len(value):,} characters"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of many digits"
    return json.dumps(value)


def _shown(text: str) -> str:
    """The beginning of a text, without half characters, which no answer can hold."""
    return text[:SHOWN].encode("utf-8", "backslashreplace").decode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(name for name, count in Counter(n for n, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {_shown(repeated)!r} stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole(digits: str) -> int:
    _check_length(digits)
    return int(digits)


def _decimal(digits: str) -> float | int:
    """A number with a point or an exponent; 5.0 is a whole number too."""
    _check_length(digits)
    number = float(digits)
    return int(number) if number.is_integer() and abs(number) < 1 << 53 else number


def _check_length(digits: str) -> None:
    if len(digits) > MAX_NUMBER_LENGTH:
        raise ValueError(f"a number has {len(digits):,} characters")
