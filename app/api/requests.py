"""Requests to values: the one place that knows the two forms a support set has on the wire."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel

from ..errors import InvalidInput, Problem
from ..service.values import (
    AdaptCall,
    Adapted,
    AdaptOptions,
    CheckCall,
    EvaluateCall,
    Keyed,
    PredictCall,
    RestoreCall,
    Restored,
    SentImage,
)
from .base64_images import NotEncodedImage, image_bytes
from .body import BodyLimits, read_body, read_form
from .content_type import MULTIPART, OCTETS, content_type
from .form import Form
from .json_body import parsed
from .schemas import (
    AdaptBody,
    EvaluateBody,
    LabelledImageBody,
    PredictBody,
    ReportBody,
    SupportBody,
)
from .session_ids import session_id_problem

IMAGE_FIELD, SESSION_FIELD = "image", "session"
SHOWN = 50
"""Characters of what came that a message repeats."""
MOST_DIGITS = 300
"""Of a number in a text field."""

Body = TypeVar("Body", bound=BaseModel)
Read = TypeVar("Read")
Labelled = tuple[list[SentImage], dict[str, Any], list[Problem]]
"""Labelled images, options, and what is wrong with them."""


def _truth(text: str) -> bool:
    """A text field as true or false. Raises ValueError."""
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _whole(text: str) -> int:
    """A text field as a whole number, which 5.0 is too, as in JSON. Raises ValueError."""
    if re.fullmatch(rf"[+-]?[0-9]{{1,{MOST_DIGITS}}}", text):
        return int(text)
    number = _number(text)
    if not number.is_integer():
        raise ValueError(text)
    return int(number)


def _number(text: str) -> float:
    """A text field as a number. Raises ValueError."""
    digits = f"[0-9]{{1,{MOST_DIGITS}}}"
    if not re.fullmatch(rf"[+-]?{digits}(\.({digits})?)?(e[+-]?[0-9]{{1,3}})?", text.lower()):
        raise ValueError(text)
    return float(text)


OPTION_KINDS: Mapping[str, Callable[[str], Any]] = {
    "initialization": str,
    "steps": _whole,
    "ttl_seconds": _number,
    "keep_support": _truth,
    "report": _truth,
    "views": _whole,
    "embedding": _truth,
}
"""How the options of labelled calls are read from text fields."""
WANTED: Mapping[Callable[[str], Any], tuple[str, str]] = {
    _whole: ("not_a_number", "a whole number"),
    _number: ("not_a_number", "a number"),
    _truth: ("not_a_truth_value", "true or false"),
}
"""The code of a problem, and what was expected, where an option cannot be read."""


async def read_adapt(
    request: Request, limits: BodyLimits, tenant: str, keyed: Keyed[Adapted] | None
) -> AdaptCall:
    """Read a support set and options from a form or from JSON.

    In a form, file fields are images labelled by their field's name and text fields are options.
    Raises MalformedBody, UnsupportedMediaType, TooLarge, and InvalidInput with every problem.
    """
    images, options, problems = await _read_labelled(request, limits, AdaptBody, "support")
    return AdaptCall(images, AdaptOptions(**options), problems, tenant, keyed)


async def read_support(
    request: Request, limits: BodyLimits, tenant: str, keyed: Keyed[Adapted] | None
) -> AdaptCall:
    """Read images to add to a session. Raises as `read_adapt` does."""
    images, options, problems = await _read_labelled(request, limits, SupportBody, "support")
    return AdaptCall(images, AdaptOptions(**options), problems, tenant, keyed)


def read_removal(
    query: Mapping[str, str | None], tenant: str, keyed: Keyed[Adapted] | None
) -> AdaptCall:
    """What taking an image out of a session asks for, from the query of its address."""
    given = [(name, text) for name, text in query.items() if text is not None]
    options, problems = _options(given, {name: OPTION_KINDS[name] for name in query})
    return AdaptCall((), AdaptOptions(**options), problems, tenant, keyed)


async def read_check(
    request: Request, limits: BodyLimits, session_id: str, tenant: str
) -> CheckCall:
    """Read what a report is to tell; no body at all asks for nothing in particular.

    Raises as `read_adapt` does.
    """
    if "content-type" not in request.headers and not await read_body(request, limits):
        return CheckCall(session_id, tenant=tenant)
    sent = content_type(request)
    if sent.media_type == MULTIPART:
        form = await read_form(request, sent.boundary, limits)
        kinds = {name: OPTION_KINDS[name] for name in ReportBody.model_fields}
        options, problems = _options(form.texts, kinds)
        problems += [*form.problems, *_no_files(form)]
        return CheckCall(session_id, **options, problems=problems, tenant=tenant)
    return await _read_json(
        request,
        limits,
        ReportBody,
        lambda body: CheckCall(session_id, **_given(body), tenant=tenant),
    )


def _given(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(exclude_none=True)


def _no_files(form: Form, wanted: str | None = None) -> list[Problem]:
    """What is wrong with the files of a form that has none but ``wanted``."""
    expected = "no files" if wanted is None else f"one file, in a field named {wanted!r}"
    return [
        Problem("unknown_field", f"expected {expected}", file.field[:SHOWN])
        for file in form.files
        if file.field != wanted
    ]


async def read_restore(
    request: Request,
    limits: BodyLimits,
    tenant: str,
    keyed: Keyed[Restored] | None,
    ttl_seconds: str | None,
) -> RestoreCall:
    """Read the file of a session: the body itself, or the file of a form.

    ``ttl_seconds`` is that of the query. Raises MalformedBody, UnsupportedMediaType, TooLarge and
    InvalidInput.
    """
    given = [] if ttl_seconds is None else [("ttl_seconds", ttl_seconds)]
    options, problems = _options(given, {"ttl_seconds": _number})
    sent = content_type(request, (OCTETS, MULTIPART))
    if sent.media_type == OCTETS:
        content = await read_body(request, limits)
    else:
        form = await read_form(request, sent.boundary, limits)
        files = [file.content for file in form.files if file.field == SESSION_FIELD]
        _, unknown = _options(form.texts, {})
        problems += [*form.problems, *unknown, *_no_files(form, SESSION_FIELD)]
        if len(files) != 1:
            message = f"expected the file of one session, got {len(files)}"
            problems.append(Problem("missing", message, SESSION_FIELD))
        content = files[0] if files else b""
    return RestoreCall(content, options.get("ttl_seconds"), problems, tenant, keyed)


async def read_evaluate(
    request: Request, limits: BodyLimits, session_id: str, tenant: str
) -> EvaluateCall:
    """Read queries with their labels. Raises as `read_adapt` does."""
    images, _, problems = await _read_labelled(request, limits, EvaluateBody, "queries")
    return EvaluateCall(session_id, images, problems, tenant)


async def _read_labelled(
    request: Request, limits: BodyLimits, kind: type[BaseModel], field: str
) -> Labelled:
    """Labelled images, in JSON the list ``field``; the other fields of ``kind`` are options."""
    sent = content_type(request)
    if sent.media_type == MULTIPART:
        form = await read_form(request, sent.boundary, limits)
        kinds = {name: OPTION_KINDS[name] for name in kind.model_fields if name != field}
        options, problems = _options(form.texts, kinds)
        return _labelled_files(form), options, [*form.problems, *problems]
    return await _read_json(request, limits, kind, lambda body: _labelled_body(body, field))


async def _read_json(
    request: Request, limits: BodyLimits, kind: type[Body], read: Callable[[Body], Read]
) -> Read:
    content = await read_body(request, limits)
    return await parsed(kind, content, limits.max_parts, read)


def _labelled_body(body: BaseModel, field: str) -> Labelled:
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
    sent = content_type(request)
    if sent.media_type == MULTIPART:
        return _predict_form(await read_form(request, sent.boundary, limits), tenant)
    return await _read_json(request, limits, PredictBody, lambda body: _predict_body(body, tenant))


def _predict_body(body: PredictBody, tenant: str) -> PredictCall:
    contents, problems = _decoded(body.images, "images")
    images = [SentImage(content, "images", index) for index, content in enumerate(contents)]
    return _predict_call(body.session_id, images, body.top_k, problems, tenant)


def _predict_form(form: Form, tenant: str) -> PredictCall:
    options, problems = _options(form.texts, {"session_id": str, "top_k": _whole})
    problems += form.problems
    problems += [
        Problem(
            "unknown_field",
            "expected query images in fields named 'image'; labels belong to /adapt",
            file.field[:SHOWN],
        )
        for file in form.files
        if file.field != IMAGE_FIELD
    ]
    if "session_id" not in options:
        problems.append(Problem("missing", "expected the id of a session", "session_id"))
        raise InvalidInput(problems)
    images = [SentImage(file.content, file.field, index) for index, file in enumerate(form.files)]
    return _predict_call(options["session_id"], images, options.get("top_k"), problems, tenant)


def _predict_call(
    sent_id: str,
    images: list[SentImage],
    top_k: int | None,
    problems: list[Problem],
    tenant: str,
) -> PredictCall:
    """A call whose session can be looked for. Raises InvalidInput for an id that can be none."""
    session_id = sent_id.strip()
    problem = session_id_problem(session_id)
    if problem is not None:
        raise InvalidInput([*problems, problem])
    return PredictCall(session_id, images, top_k, problems, tenant)


def _options(
    texts: Sequence[tuple[str, str]], kinds: Mapping[str, Callable[[str], Any]]
) -> tuple[dict[str, Any], list[Problem]]:
    """The text fields as values of their kinds, and the problems of those that cannot be.

    One that is left empty, as in a web page, is not given.
    """
    found: dict[str, Any] = {}
    problems = []
    for name, sent in texts:
        text, kind = sent.strip(), kinds.get(name)
        if kind is None:
            problems.append(Problem("unknown_option", _hint(name, tuple(kinds)), name[:SHOWN]))
        elif not text:
            continue
        elif name in found:
            problems.append(Problem("repeated_option", "expected once, got more than once", name))
        else:
            try:
                found[name] = kind(text)
            except ValueError:
                code, wanted = WANTED[kind]
                problems.append(Problem(code, f"expected {wanted}, got {text[:SHOWN]!r}", name))
    return found, problems


def _hint(name: str, known: Sequence[str]) -> str:
    wanted = f"text options among {', '.join(known)}" if known else "no text options"
    shown = name[:SHOWN]
    return (
        f"expected {wanted}, got {shown!r}; if it was meant to carry "
        f"an image, send that as a file, one field an image (curl: -F {shown}=@1.png "
        f"-F {shown}=@2.png); a button of a web page is not sent where it has no name"
    )


def _decoded(texts: Sequence[str], field: str) -> tuple[list[bytes], list[Problem]]:
    """Texts that hold images, to bytes; b"" for each broken one."""
    contents, problems = [], []
    for index, text in enumerate(texts):
        try:
            contents.append(image_bytes(text))
        except NotEncodedImage as broken:
            contents.append(b"")
            problems.append(Problem("broken_base64", str(broken), field, index))
    return contents, problems
