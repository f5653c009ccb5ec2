"""Every call of the client as steps: what is sent, in how many parts, and what the answers mean."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any
from urllib.parse import quote

import httpx

from ..errors import InklingError, InvalidInput, Problem, RequestRefused
from . import answers
from .combining import together
from .exchange import Request, Retries, Steps, exchange
from .loading import BESIDE_IMAGES, Loaded, Loader, Room, one_of_each_first
from .progress import Bar
from .refusals import InputRefused
from .results import (
    Adaptation,
    Evaluation,
    InitializationInfo,
    LeftOut,
    Limits,
    Notice,
    Prediction,
    Predictions,
    Report,
    SessionInfo,
)
from .sources import Source

KEY_BYTES = 24
MOST_QUERIES = 100
"""Images of a call to predict or evaluate: a server has a deadline for each."""
FEW = 1
"""As many images are sent without asking what fits: they cannot be divided."""
SAFETENSORS = "application/octet-stream"
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Adapted:
    """A session after calls that adapted it, ``n_calls`` of them.

    ``sources`` names the images that were sent, in their order in the session.
    """

    adaptation: Adaptation
    sources: tuple[str | None, ...]
    n_calls: int = 1


@dataclass
class Calls:
    """What a client calls, whichever way it waits."""

    retries: Retries
    shrink: bool = True
    limits: Limits | None = field(default=None, init=False)

    def adapt(
        self, images: Sequence[Source], options: Options, key: str | None, bar: Bar
    ) -> Steps[Adapted]:
        """A session of labelled images, made from as many as fit, to which the rest is added."""
        room = yield from self._support_room(images)
        keys = _keys(key)
        loader = Loader(one_of_each_first(images), shrink=self.shrink)
        first = sorted((yield from loader.part(room)), key=lambda image: image.position)
        report = {"report": options.get("report")}
        now = {**options, **({"report": None} if loader else report)}
        adaptation = yield from self._adapting("/adapt", first, now, next(keys))
        bar.advance(len(first))
        if not loader:
            return Adapted(adaptation, _names(first))
        steps = {"steps": options.get("steps")}
        try:
            path = session_path(adaptation.session_id)
            rest = yield from self._adding(
                path, loader.in_order(), room, {**steps, **report}, keys, bar
            )
        except InklingError:
            # Half a session is none; the reason is told all the same where it cannot be deleted.
            with contextlib.suppress(InklingError):
                yield from self.forget(adaptation.session_id)
            raise
        grown = replace(rest.adaptation, choice=adaptation.choice)
        return Adapted(grown, (*_names(first), *rest.sources), 1 + rest.n_calls)

    def add(
        self,
        session_id: str,
        images: Sequence[Source],
        options: Options,
        key: str | None,
        bar: Bar,
    ) -> Steps[Adapted]:
        """Add labelled images to a session, in as many calls as it takes."""
        room = yield from self._support_room(images)
        loader = Loader(enumerate(images), shrink=self.shrink)
        path = session_path(session_id)
        return (yield from self._adding(path, loader, room, options, _keys(key), bar))

    def _adding(
        self,
        path: str,
        loader: Loader,
        room: Room,
        options: Options,
        keys: Iterator[str],
        bar: Bar,
    ) -> Steps[Adapted]:
        """Add all that a loader has, in as many calls as it takes. The last makes the report."""
        sent: list[Loaded] = []
        for n_calls in count(1):
            part = yield from loader.part(room)
            now = {**options, **({"report": None} if loader else {})}
            try:
                adaptation = yield from self._adapting(f"{path}/support", part, now, next(keys))
            except InklingError as failed:
                if sent:
                    failed.add_note(f"{len(sent)} images before these were added")
                raise
            sent += part
            bar.advance(len(part))
            if not loader:
                return Adapted(adaptation, _names(sent), n_calls)
        raise AssertionError("unreachable")

    def _adapting(
        self, path: str, part: Sequence[Loaded], options: Options, key: str
    ) -> Steps[Adaptation]:
        body = {
            "support": [{"label": each.source.label, "image": each.text} for each in part],
            **_given(options),
        }
        with _placed("support", part):
            answer = yield from self._json(_posting(path, body, key))
        return answers.adaptation(_renumbered(answer, "support", part))

    def remove(
        self, session_id: str, position: int, options: Options, version: int | None
    ) -> Steps[Adaptation]:
        """Take an image out of a session that is at a version, if one is given."""
        headers = {"Idempotency-Key": _new_key()}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        path = f"{session_path(session_id)}/support/{position}"
        request = Request("DELETE", path, headers=headers, params=_given(options))
        return answers.adaptation((yield from self._json(request)))

    def predict(
        self,
        session_id: str,
        images: Sequence[Source],
        options: Options,
        bar: Bar,
        *,
        leave_out: bool = False,
    ) -> Steps[Predictions]:
        """Classify images, in as many calls as it takes; broken ones may be left out."""
        room = yield from self._query_room(images)
        loader = Loader(enumerate(images), shrink=self.shrink)
        predicted, warnings, broken = list[Prediction](), list[Notice](), list[LeftOut]()
        while True:
            loaded = part = yield from loader.part(room)
            while part:
                body = {
                    "session_id": session_id,
                    "images": [each.text for each in part],
                    **_given(options),
                }
                try:
                    with _placed("images", part):
                        answer = yield from self._json(_posting("/predict", body))
                except InputRefused as refused:
                    found = _broken(refused) if leave_out else []
                    if not found:
                        raise
                    broken += found
                    places = {each.position for each in found}
                    part = [each for each in part if each.position not in places]
                    continue
                answer = _renumbered(answer, "images", part)
                predicted += answers.predictions(answer, _names(part))
                warnings += answers.notices(answer["warnings"])
                break
            bar.advance(len(loaded))
            if not loader:
                told = tuple(dict.fromkeys(warnings))
                return Predictions(tuple(predicted), told, tuple(broken))

    def evaluate(self, session_id: str, images: Sequence[Source], bar: Bar) -> Steps[Evaluation]:
        """Measure a session on labelled images, in as many calls as it takes."""
        room = yield from self._query_room(images)
        loader = Loader(enumerate(images), shrink=self.shrink)
        parts = []
        while True:
            part = yield from loader.part(room)
            queries = [{"label": each.source.label, "image": each.text} for each in part]
            path = f"{session_path(session_id)}/evaluate"
            with _placed("queries", part):
                answer = yield from self._json(_posting(path, {"queries": queries}))
            positions = [each.position for each in part]
            answer = _renumbered(answer, "queries", part)
            parts.append(answers.evaluation(answer, positions, _names(part)))
            bar.advance(len(part))
            if not loader:
                return together(parts)

    def report(self, session_id: str, options: Options) -> Steps[Report]:
        """The report on a session's support set."""
        request = _posting(f"{session_path(session_id)}/report", _given(options))
        answer = yield from self._json(request)
        return answers.report(answer["report"], answer["embedding"])

    def export(self, session_id: str, kind: str) -> Steps[bytes]:
        """A session as a file."""
        path = f"{session_path(session_id)}/export"
        request = Request("GET", path, params={"format": kind}, in_bytes=True)
        response = yield from exchange(request, self.retries)
        return response.content

    def restore(self, content: bytes, options: Options, key: str | None) -> Steps[SessionInfo]:
        """A session from a file that a server exported."""
        headers = {"Content-Type": SAFETENSORS, "Idempotency-Key": key or _new_key()}
        request = Request("POST", "/sessions", content, headers, _given(options))
        return answers.session_info((yield from self._json(request)))

    def session(self, session_id: str) -> Steps[SessionInfo]:
        """What the server knows of a session."""
        answer = yield from self._json(Request("GET", session_path(session_id)))
        return answers.session_info(answer)

    def sessions(self, after: str | None) -> Steps[tuple[list[SessionInfo], str | None]]:
        """Some of the caller's sessions, and what to ask for the next ones with."""
        page = yield from self._json(Request("GET", "/sessions", params=_given({"after": after})))
        return [answers.session_info(entry) for entry in page["sessions"]], page["next"]

    def forget(self, session_id: str) -> Steps[None]:
        """Delete a session."""
        request = Request("DELETE", session_path(session_id), gone_is_done=True)
        yield from exchange(request, self.retries)

    def initializations(self) -> Steps[list[InitializationInfo]]:
        """What the server has loaded; its limits are kept."""
        answer = yield from self._json(Request("GET", "/initializations"))
        self.limits = answers.limits(answer)
        return [answers.initialization(entry) for entry in answer["initializations"]]

    def known_limits(self) -> Steps[Limits]:
        """What the server takes, asked for once."""
        if self.limits is None:
            yield from self.initializations()
        return self.limits or Limits()

    def _support_room(self, images: Sequence[Source]) -> Steps[Room]:
        """What fits. Raises InvalidInput for more than a session can have: nothing is sent then."""
        limits = yield from self._limits_for(images)
        most = {
            "images": (len(images), limits.max_support_images),
            "labels": (len({image.label for image in images}), limits.max_classes),
        }
        problems = [
            Problem("too_many", f"expected at most {limit:,} {what} in a session, got {found:,}")
            for what, (found, limit) in most.items()
            if found > limit
        ]
        if problems:
            raise InvalidInput(problems)
        return Room(limits.max_support_images, limits.max_body_bytes - BESIDE_IMAGES)

    def _query_room(self, images: Sequence[Source]) -> Steps[Room]:
        limits = yield from self._limits_for(images)
        n_images = min(limits.max_query_images, MOST_QUERIES)
        return Room(n_images, limits.max_body_bytes - BESIDE_IMAGES)

    def _limits_for(self, images: Sequence[Source]) -> Steps[Limits]:
        return Limits() if len(images) <= FEW else (yield from self.known_limits())

    def _json(self, request: Request) -> Steps[Any]:
        response: httpx.Response = yield from exchange(request, self.retries)
        return response.json()


def session_path(session_id: str) -> str:
    """Where a session is found."""
    return f"/sessions/{quote(session_id, safe='')}"


def _posting(path: str, body: Any, key: str | None = None) -> Request:
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    return Request("POST", path, json.dumps(body).encode(), headers)


def _new_key() -> str:
    return secrets.token_urlsafe(KEY_BYTES)


def _keys(given: str | None) -> Iterator[str]:
    """A key for each part of a call: the one that was given, then others that it determines."""
    key = _new_key() if given is None else given
    yield key
    for number in count(2):
        yield f"{key}.{number}"


def _given(options: Options) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _names(images: Sequence[Loaded]) -> tuple[str | None, ...]:
    return tuple(image.source.name for image in images)


@contextlib.contextmanager
def _placed(field_name: str, part: Sequence[Loaded]) -> Iterator[None]:
    """Have a refusal name images by the places and the paths that the caller gave them by."""
    try:
        yield
    except RequestRefused as refused:
        for item in refused.problem.get("problems", ()):
            index = item.get("index")
            if item.get("field") == field_name and index is not None and index < len(part):
                item["index"] = part[index].position
                if part[index].source.name is not None:
                    item["source"] = part[index].source.name
        raise type(refused)(
            refused.status, refused.problem, retry_after=refused.retry_after
        ) from refused.__cause__


def _broken(refused: InputRefused) -> list[LeftOut]:
    """The images that a refusal is about; none where it is about something else, too."""
    listed = refused.problem.get("problems", ())
    if any(item.get("field") != "images" or item.get("index") is None for item in listed):
        return []
    return [LeftOut(item["index"], item["message"], item.get("source")) for item in listed]


def _renumbered(answer: Any, field_name: str, part: Sequence[Loaded]) -> Any:
    """An answer whose warnings name images by the places that the caller gave them."""
    if all(image.position == place for place, image in enumerate(part)):
        return answer

    def placed(found: re.Match[str]) -> str:
        place = int(found[1])
        return f"'{field_name}'[{part[place].position}]" if place < len(part) else found[0]

    for told in answer["warnings"]:
        told["message"] = re.sub(rf"'{field_name}'\[(\d+)\]", placed, told["message"])
    return answer
