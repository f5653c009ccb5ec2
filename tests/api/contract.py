"""Calls that are made from what `/openapi.json` says, with real images and ids of live sessions."""

from __future__ import annotations

import base64
import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import schemathesis
from inkling.api.schemas import LABEL_SCHEMA, AdaptBody, PredictBody
from inkling.api.session_ids import PATTERN
from inkling.api.session_routes import CURSOR_PATTERN
from schemathesis import Case, HookContext, Response, SerializationContext
from schemathesis.engine import events, from_schema
from schemathesis.generation import GenerationMode
from schemathesis.transport.requests import REQUESTS_TRANSPORT, multipart_serializer

FORM = "multipart/form-data"
SESSION_LABELS = ("one", "two")
TEXTS = (*AdaptBody.model_fields, *PredictBody.model_fields)
"""Text fields of forms; every other field is a label."""
LEAST_LABELS = {"adapt": 2, "support": 1, "evaluate": 1}
LABEL_PATTERN, MAX_LABEL_LENGTH = str(LABEL_SCHEMA["pattern"]), 100
SEED, SHOWN = 1, 2000
NEGATIVE_CHECK = "negative_data_rejection"


class Contract:
    """A server's own description of itself, and what comes of calls that are made from it.

    A description cannot say which images there are in the world, which sessions live or what
    their labels are. Where a call has an image, an id or a label of the right form, a real one
    takes its place.
    """

    def __init__(self, url: str, key: str, images: Sequence[bytes]) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False, headers=headers)
        self._images = itertools.cycle(images)
        self._session = self._new_session()
        self._new_session()
        self._cursor = str(self._http.get("/sessions?limit=1").json()["next"])
        self._as_described: set[str] = set()
        self.statuses: dict[str, Counter[int]] = defaultdict(Counter)
        self.schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        described = self.schema.raw_schema["components"]["schemas"]["SupportBody"]
        self._most_images = int(described["properties"]["support"]["maxItems"])
        self.schema.config.update(headers=headers)
        self.schema.config.seed = SEED
        hook = self.schema.hook

        # Hooks are known by the names of their arguments.
        @hook
        def map_case(context: HookContext, case: Case[Any]) -> Case[Any]:  # noqa: ARG001
            return self._made_real(case)

        @hook
        def after_call(context: HookContext, case: Case[Any], response: Response) -> None:  # noqa: ARG001
            self.statuses[f"{case.method} {case.operation.path}"][response.status_code] += 1

    def run(self, taken: int, refused: int, *, edges: bool) -> list[str]:
        """Make calls of each operation that are as described, and ones that are not.

        So many of each at most, in each way of making them; ``edges`` adds what is at and beyond
        each bound. Gives what was wrong.
        """
        self.schema.config.phases.coverage.enabled = edges
        generation = self.schema.config.generation
        generation.update(deterministic=True, no_shrink=True)
        generation.database = "none"
        wrong: list[str] = []
        for mode, number in (GenerationMode.POSITIVE, taken), (GenerationMode.NEGATIVE, refused):
            generation.update(modes=[mode], max_examples=number)
            self.schema.config.phases.examples.enabled = mode.is_positive
            wrong += [
                told
                for event in from_schema(self.schema).execute()
                for told in self._told_wrong(event)
            ]
        return wrong

    def _told_wrong(self, event: events.EngineEvent) -> Iterator[str]:
        """What an event says is wrong, with the call as a command."""
        if isinstance(event, events.NonFatalError):
            yield str(event.value)
        elif isinstance(event, events.FatalError):
            yield str(event.exception)
        elif isinstance(event, events.ScenarioFinished):
            for case_id, checks in event.recorder.checks.items():
                for check in checks:
                    # That bytes are no text, as images in a form are, looks to the tool like a
                    # call that should be refused; this check is for those that are meant so.
                    meant = check.name == NEGATIVE_CHECK and case_id in self._as_described
                    if check.failure_info is not None and not meant:
                        command = event.recorder.cases[case_id].value.as_curl_command()[:SHOWN]
                        yield f"{command}\n{check.failure_info.failure}"

    def operations(self) -> list[str]:
        """Those that the description has; of others the server is asked for as well."""
        paths = self.schema.raw_schema["paths"]
        return [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]

    def share_taken(self, operation: str) -> float:
        """The share of an operation's calls that were answered by 2xx."""
        statuses = self.statuses[operation]
        return sum(n for status, n in statuses.items() if status < 300) / statuses.total()

    def _new_session(self) -> str:
        files = [(label, ("1.png", next(self._images))) for label in SESSION_LABELS]
        answer = self._http.post("/adapt", files=files)
        session_id: str = answer.json()["session_id"]
        return session_id

    def _live(self, operation: str) -> str:
        """The id of a session: of its own for a call that changes it."""
        changes = operation.startswith("DELETE") or operation.endswith("/support")
        return self._new_session() if changes else self._session

    def _made_real(self, case: Case[Any]) -> Case[Any]:
        """The same call about things that there are. What is wrong with it stays wrong."""
        negative = case.meta is not None and case.meta.generation.mode.is_negative
        if not negative:
            self._as_described.add(case.id)
        operation = case.operation.label
        if _is_id(case.path_parameters.get("session_id")):
            case.path_parameters["session_id"] = self._live(operation)
        if _is_cursor(case.query.get("after")):
            case.query["after"] = self._cursor
        body = case.body
        if isinstance(body, dict):
            if _is_id(body.get("session_id")):
                body["session_id"] = self._session
            if negative:
                return case
            if case.media_type == FORM:
                case.body = self._real_form(operation, body)
            else:
                self._make_json_real(operation, body)
        return case

    def _make_json_real(self, operation: str, body: dict[str, Any]) -> None:
        for holder, name in [(body, "images"), (body, "support"), (body, "queries")]:
            entries = holder.get(name)
            if not isinstance(entries, list):
                continue
            for place, entry in enumerate(entries):
                if isinstance(entry, str) and entry:
                    entries[place] = self._text()
                if not isinstance(entry, dict):
                    continue
                if isinstance(entry.get("image"), str) and entry["image"]:
                    entry["image"] = self._text()
                if name == "queries" and _is_label(entry.get("label")):
                    entry["label"] = SESSION_LABELS[place % 2]
        support = body.get("support")
        if operation.endswith("/support") and isinstance(support, list):
            # What the session has already counts too, which is told in words alone.
            del support[self._most_images - len(SESSION_LABELS) :]
        if isinstance(support, list) and len(support) > 1:
            self._set_apart(support)

    def _set_apart(self, support: list[Any]) -> None:
        """Give a support set of one label another one: it has to have two."""
        labels = [entry.get("label") if isinstance(entry, dict) else None for entry in support]
        if all(map(_is_label, labels)) and len({_plain(str(label)) for label in labels}) == 1:
            support[0]["label"] = SESSION_LABELS[labels[0] == SESSION_LABELS[0]]

    def _real_form(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        real: dict[str, Any] = {}
        names = itertools.cycle(SESSION_LABELS)
        for name, value in body.items():
            if not isinstance(value, list) or name in TEXTS:
                real[name] = value
                continue
            known = operation.endswith("/evaluate") and _is_label(name)
            label = next(names) if known else name
            real.setdefault(label, []).extend(next(self._images) for _ in value)
        # That there have to be images, of two labels for a new session, is told in words alone.
        least = LEAST_LABELS.get(operation.rpartition("/")[2], 0)
        labels = {_plain(name) for name in real if name not in TEXTS}
        for label in SESSION_LABELS[: max(0, least - len(labels))]:
            real[label] = [next(self._images)]
        return real

    def _text(self) -> str:
        return base64.b64encode(next(self._images)).decode()


def _plain(label: str) -> str:
    """A label as the server compares it."""
    return unicodedata.normalize("NFC", label.strip()).strip()


def _is_id(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(PATTERN, value) is not None


def _is_cursor(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(CURSOR_PATTERN, value) is not None


def _is_label(value: object) -> bool:
    return (
        isinstance(value, str)
        and 1 <= len(value) <= MAX_LABEL_LENGTH
        and re.fullmatch(LABEL_PATTERN, value) is not None
    )


@REQUESTS_TRANSPORT.serializer(FORM)
def with_files(context: SerializationContext, value: Any) -> dict[str, Any]:
    """A form whose labelled images are files: the description says so in words alone."""
    sent = multipart_serializer(context, value)
    sent["files"] = [
        (name, ("1.png", *part[1:]) if _is_file(name, part) else part)
        for name, part in sent.get("files") or ()
    ] or None
    return sent


def _is_file(name: str, part: tuple[Any, ...]) -> bool:
    return part[0] is None and isinstance(part[1], bytes) and name not in TEXTS
