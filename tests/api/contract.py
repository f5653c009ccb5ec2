"""Calls that are made from what `/openapi.json` says, with real images and ids of live sessions."""

from __future__ import annotations

import base64
import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import httpx
import schemathesis
from inkling.api.schemas import LABEL_SCHEMA, AdaptBody, PredictBody
from inkling.api.session_ids import PATTERN
from inkling.api.session_routes import CURSOR_PATTERN
from schemathesis import Case, HookContext, Response, SerializationContext
from schemathesis.engine import events, from_schema
from schemathesis.transport.requests import REQUESTS_TRANSPORT, multipart_serializer

FORM = "multipart/form-data"
SESSION_LABELS = ("one", "two")
TEXTS = (*AdaptBody.model_fields, *PredictBody.model_fields)
"""Text fields of forms; every other field is a label."""
LEAST_LABELS = {"adapt": 2, "support": 1, "evaluate": 1}
LABEL_PATTERN, MAX_LABEL_LENGTH = str(LABEL_SCHEMA["pattern"]), 100
SEED = 1


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
        self.statuses: dict[str, Counter[int]] = defaultdict(Counter)
        self.schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        self.schema.config.update(headers=headers)
        self.schema.config.seed = SEED
        hook = self.schema.hook

        @hook
        def map_case(context: HookContext, case: Case) -> Case:  # noqa: ARG001 - as hooks are called
            return self._made_real(case)

        @hook
        def after_call(context: HookContext, case: Case, response: Response) -> None:  # noqa: ARG001
            self.statuses[f"{case.method} {case.operation.path}"][response.status_code] += 1

    def run(self, max_examples: int) -> list[str]:
        """Make so many calls at most of each operation in each way; gives what was wrong."""
        generation = self.schema.config.generation
        generation.update(max_examples=max_examples, deterministic=True, no_shrink=True)
        generation.database = "none"
        wrong = []
        for event in from_schema(self.schema).execute():
            if isinstance(event, events.ScenarioFinished):
                for case_id, checks in event.recorder.checks.items():
                    wrong += [
                        f"{event.recorder.cases[case_id].value.as_curl_command()[:2000]}\n{c.failure_info.failure}"
                        for c in checks
                        if c.failure_info is not None
                    ]
            elif isinstance(event, events.NonFatalError | events.FatalError):
                wrong.append(str(event.value if hasattr(event, "value") else event.exception))
        return wrong

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

    def _made_real(self, case: Case) -> Case:
        """The same call about things that there are. What is wrong with it stays wrong."""
        operation = case.operation.label
        if _is_id(case.path_parameters.get("session_id")):
            case.path_parameters["session_id"] = self._live(operation)
        if _is_cursor(case.query.get("after")):
            case.query["after"] = self._cursor
        body = case.body
        if isinstance(body, dict):
            if _is_id(body.get("session_id")):
                body["session_id"] = self._session
            if case.media_type == FORM:
                case.body = self._real_form(operation, body)
            else:
                self._make_json_real(body)
        return case

    def _make_json_real(self, body: dict[str, Any]) -> None:
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
