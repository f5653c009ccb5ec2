"""Calls that are made from what `/openapi.json` says, with real images and ids of live sessions."""

from __future__ import annotations

import base64
import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import schemathesis
from inkling.api.session_ids import PATTERN
from schemathesis import Case, HookContext, Response, SerializationContext
from schemathesis.engine import events, from_schema
from urllib3.filepost import encode_multipart_formdata

FORM = "multipart/form-data"
SESSION_LABELS = ("one", "two")
OPTIONS = ("initialization", "steps", "ttl_seconds", "keep_support", "report", "views")
"""Text fields of labelled forms; every other field is a label."""
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
        self.statuses: dict[str, Counter[int]] = defaultdict(Counter)
        self.schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        self.schema.config.update(headers=headers)
        self.schema.config.seed = SEED
        hook = self.schema.hook

        @hook
        def map_case(context: HookContext, case: Case) -> Case:
            return self._made_real(case)

        @hook
        def after_call(context: HookContext, case: Case, response: Response) -> None:
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
        operation = case.operation.label
        if re.fullmatch(PATTERN, str((case.path_parameters or {}).get("session_id", "~"))):
            case.path_parameters["session_id"] = self._live(operation)
        body = case.body
        if not isinstance(body, dict):
            return case
        if re.fullmatch(PATTERN, str(body.get("session_id", "~"))):
            body["session_id"] = self._session
        if case.media_type == FORM:
            case.body = self._real_form(operation, body)
        else:
            self._real_json(body)
        return case

    def _real_json(self, body: dict[str, Any]) -> None:
        images = body.get("images")
        if isinstance(images, list):
            body["images"] = [self._real_text(image) for image in images]
        for name in ("support", "queries"):
            items = body.get(name)
            if not isinstance(items, list):
                continue
            for place, item in enumerate(items):
                if not isinstance(item, dict):
                    continue
                if "image" in item:
                    item["image"] = self._real_text(item["image"])
                if name == "queries" and _is_label(item.get("label")):
                    item["label"] = SESSION_LABELS[place % 2]
            labels = {str(item.get("label")) for item in items if isinstance(item, dict)}
            if (
                name == "support"
                and len(items) >= 2
                and len(labels) == 1
                and isinstance(items[0], dict)
            ):
                if _is_label(items[0].get("label")):
                    items[0]["label"] = "another"

    def _real_text(self, image: object) -> object:
        if isinstance(image, str) and image:
            return base64.b64encode(next(self._images)).decode()
        return image

    def _real_form(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        predicts = operation.endswith("/predict")
        real: dict[str, Any] = {}
        n_labels = 0
        for name, value in body.items():
            is_images = (
                isinstance(value, list)
                and value
                and (name == "image" if predicts else name not in OPTIONS)
            )
            if not is_images:
                real[name] = value
                continue
            label = name
            if operation.endswith("/evaluate") and _is_label(name):
                label = SESSION_LABELS[n_labels % 2]
            real[label] = [next(self._images) for _ in value]
            n_labels += 1
        if not predicts and not operation.endswith("/evaluate"):
            for label in SESSION_LABELS[n_labels:]:
                real[label] = [next(self._images)]
        return real


def _is_label(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


@schemathesis.serializer(FORM)
def with_files(context: SerializationContext, value: Any) -> dict[str, Any]:
    """A form whose images are files, whatever their names: the description says so in words."""
    if not isinstance(value, Mapping):
        content, kind = encode_multipart_formdata({"": str(value)})
        return {"data": content, "headers": {"Content-Type": kind}}
    fields: list[tuple[str, Any]] = []
    for name, entry in value.items():
        for item in entry if isinstance(entry, list) else [entry]:
            is_file = isinstance(entry, list) and name not in OPTIONS
            content = item if isinstance(item, bytes) else getattr(item, "data", None)
            text = content if content is not None else _text(item)
            fields.append((name, ("1.png", text) if is_file else text))
    content, kind = encode_multipart_formdata(fields)
    return {"data": content, "headers": {"Content-Type": kind}}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
