"""Requests to values: the one place that knows the two forms a support set has on the wire."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import anyio.to_thread
from fastapi import Request
from pydantic import BaseModel, ValidationError

from ..errors import InvalidInput, MalformedBody, Problem, UnsupportedMediaType
from ..service.values import (
    AdaptCall,
    AdaptOptions,
    EvaluateCall,
    Keyed,
    PredictCall,
    SentImage,
)
from .body import BodyLimits, read_body, read_form
from .form import Form
from .schemas import AdaptBody, EvaluateBody, LabelledImageBody, PredictBody, SupportBody

MULTIPART, JSON = "multipart/form-data", "application/json"
IMAGE_FIELD = "image"
MAX_LISTED = 1000
"""More deviations of a JSON body than this are counted instead of listed."""
_NO_BREAKS = str.maketrans("", "", "\r\n")

Body = TypeVar("Body", bound=BaseModel)


def _truth(text: str) -> bool:
    """A text field as true or false. Raises ValueError."""
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _whole(text: str) -> int:
    """A text field as a whole number. Raises ValueError."""
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", text):
        raise ValueError(text)
    return int(text)


OPTION_KINDS: Mapping[str, Callable[[str], Any]] = {
    "initialization": str,
    "steps": _whole,
    "ttl_seconds": float,
    "keep_support": _truth,
    "report": _truth,
    "views": _whole,
}
"""How the options of labelled calls are read from text fields."""
WANTED: Mapping[Callable[[str], Any], tuple[str, str]] = {
    _whole: ("not_a_number", "a whole number"),
    float: ("not_a_number", "a number"),
    _truth: ("not_a_truth_value", "true or false"),
}
"""The code of a problem, and what was expected, where an option cannot be read."""


async def read_adapt(
    request: Request, limits: BodyLimits, tenant: str, keyed: Keyed | None
) -> AdaptCall:
    """Read a support set and options from a form or from JSON.

    In a form, file fields are images labelled by their field's name and text fields are options.
    Raises MalformedBody, UnsupportedMediaType, TooLarge, and InvalidInput with every problem.
    """
    images, options, problems = await _read_labelled(request, limits, AdaptBody, "support")
    return AdaptCall(images, AdaptOptions(**options), problems, tenant, keyed)


async def read_support(
    request: Request, limits: BodyLimits, tenant: str, keyed: Keyed | None
) -> AdaptCall:
    """Read images to add to a session. Raises as `read_adapt` does."""
    images, options, problems = await _read_labelled(request, limits, SupportBody, "support")
    return AdaptCall(images, AdaptOptions(**options), problems, tenant, keyed)


async def read_evaluate(
    request: Request, limits: BodyLimits, session_id: str, tenant: str
) -> EvaluateCall:
    """Read queries with their labels. Raises as `read_adapt` does."""
    images, _, problems = await _read_labelled(request, limits, EvaluateBody, "queries")
    return EvaluateCall(session_id, images, problems, tenant)


async def _read_labelled(
    request: Request, limits: BodyLimits, kind: type[BaseModel], field: str
) -> tuple[list[SentImage], dict[str, Any], list[Problem]]:
    """Labelled images, in JSON the list ``field``; the other fields of ``kind`` are options."""
    if _media_type(request) == MULTIPART:
        form = await read_form(request, limits)
        kinds = {name: OPTION_KINDS[name] for name in kind.model_fields if name != field}
        options, problems = _options(form, kinds)
        return _labelled_files(form), options, problems
    body = await _parse(kind, await read_body(request, limits))
    items: list[LabelledImageBody] = getattr(body, field)
    contents, problems = _decoded([item.image for item in items], field)
    images = [
        SentImage(content, field, index, item.label)
        for index, (item, content) in enumerate(zip(items, contents, strict=True))
    ]
    return images, body.model_dump(exclude={field}), problems


def _labelled_files(form: Form) -> list[SentImage]:
    """The files of a form, labelled by their fields and numbered within them."""
    seen: Counter[str] = Counter()
    images = []
    for file in form.files:
        images.append(SentImage(file.content, file.field, seen[file.field], file.field))
        seen[file.field] += 1
    return images


async def read_predict(request: Request, limits: BodyLimits, tenant: str) -> PredictCall:
    """Read a session id, query images and options from a form or from JSON.

    In a form, images are file fields named `image`. Raises as `read_adapt` does.
    """
    if _media_type(request) == MULTIPART:
        return _predict_form(await read_form(request, limits), tenant)
    body = await _parse(PredictBody, await read_body(request, limits))
    contents, problems = _decoded(body.images, "images")
    images = [SentImage(content, "images", index) for index, content in enumerate(contents)]
    return PredictCall(body.session_id, images, body.top_k, problems, tenant)


def _predict_form(form: Form, tenant: str) -> PredictCall:
    options, problems = _options(form, {"session_id": str, "top_k": _whole})
    problems += [
        Problem(
            "unknown_field",
            "expected query images in fields named 'image'; labels belong to /adapt",
            file.field,
        )
        for file in form.files
        if file.field != IMAGE_FIELD
    ]
    if "session_id" not in options:
        problems.append(Problem("missing", "expected the id of a session", "session_id"))
        raise InvalidInput(problems)
    images = [SentImage(file.content, file.field, index) for index, file in enumerate(form.files)]
    return PredictCall(options["session_id"], images, options.get("top_k"), problems, tenant)


def _media_type(request: Request) -> str:
    sent = request.headers.get("content-type")
    media_type = (sent or "").split(";")[0].strip().lower()
    if media_type not in (MULTIPART, JSON):
        raise UnsupportedMediaType((MULTIPART, JSON), sent)
    return media_type


def _options(
    form: Form, kinds: Mapping[str, Callable[[str], Any]]
) -> tuple[dict[str, Any], list[Problem]]:
    """The text fields as values of their kinds, and the problems of those that cannot be."""
    found: dict[str, Any] = {}
    problems = []
    for name, text in form.texts:
        kind = kinds.get(name)
        if kind is None:
            problems.append(Problem("unknown_option", _hint(name, tuple(kinds)), name))
        elif name in found:
            problems.append(Problem("repeated_option", "expected once, got more than once", name))
        else:
            try:
                found[name] = kind(text)
            except ValueError:
                code, wanted = WANTED[kind]
                problems.append(Problem(code, f"expected {wanted}, got {text[:50]!r}", name))
    return found, problems


def _hint(name: str, known: Sequence[str]) -> str:
    wanted = f"text options among {', '.join(known)}" if known else "no text options"
    return (
        f"expected {wanted}, got {name!r}; if it was meant to carry "
        f"an image, send that as a file, one field an image (curl: -F {name}=@1.png "
        f"-F {name}=@2.png)"
    )


async def _parse(kind: type[Body], content: bytes) -> Body:
    """Read JSON into a model, off the event loop."""
    return await anyio.to_thread.run_sync(lambda: _parse_now(kind, content))


def _parse_now(kind: type[Body], content: bytes) -> Body:
    try:
        value = json.loads(content, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as broken:
        raise MalformedBody(f"the body is not JSON that can be read: {broken}") from None
    try:
        return kind.model_validate(value, strict=True)
    except ValidationError as invalid:
        if invalid.error_count() > MAX_LISTED:
            message = f"{invalid.error_count():,} entries are not of the form that is expected"
            raise InvalidInput([Problem("too_many_problems", message)]) from None
        raise InvalidInput(
            [
                Problem(error["type"], error["msg"], "/".join(map(str, error["loc"])) or None)
                for error in invalid.errors(include_input=False, include_url=False)
            ]
        ) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(name for name, count in Counter(n for n, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {repeated[:50]!r} stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _decoded(texts: Sequence[str], field: str) -> tuple[list[bytes], list[Problem]]:
    """Base64 texts, or data URLs that hold them, to bytes; b"" for each broken one.

    Line breaks, as the command `base64` prints them, are taken out.
    """
    contents, problems = [], []
    for index, text in enumerate(texts):
        head, marker, tail = text.partition(";base64,")
        payload = tail if marker and head[:5].lower() == "data:" else text
        try:
            contents.append(base64.b64decode(payload.translate(_NO_BREAKS), validate=True))
        except (binascii.Error, ValueError) as broken:
            contents.append(b"")
            problems.append(Problem("broken_base64", f"expected base64: {broken}", field, index))
    return contents, problems
