"""Calls that are made from what `/openapi.json` says, and whether server and description agree."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from inkling.api import auth
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings
from schemathesis import Case, GenerationMode, HookContext, Response, SerializationContext
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.transport.requests import REQUESTS_TRANSPORT

from .real_things import BOUNDARY, RealThings, is_cursor, is_made_up_id, written

JSON, FORM = "application/json", "multipart/form-data"
OCTETS = "application/octet-stream"
KEY = "key-of-one-12345678"
SEED = 1
BOTH_WAYS, IN_ORDER = tuple(GenerationMode), (GenerationMode.POSITIVE,)
MOST_IMAGES = 200
"""Of a call, fewer than servers take as a rule, so that calls at the bound are made often."""


@contextmanager
def served(folder: Path, initialization: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that asks for KEY, whose sessions do not end by themselves.

    It has one initialization: how many views a call may ask for depends on it, and where images
    choose it, no description can say so.
    """
    keys = folder / "keys"
    keys.write_text(f"one {KEY}\n")
    keys.chmod(0o600)
    settings = Settings(
        api_keys_file=keys,
        session_folder=folder / "state",
        initializations=(initialization,),
        workers=2,
        max_support_images=MOST_IMAGES,
        max_query_images=MOST_IMAGES,
    )
    # Who calls often without a key is told to wait, by a 429; here 401 has to come each time.
    monkeypatch.setattr(auth, "TRIES", float("inf"))
    with local_server(create_app(settings, clock=lambda: 1e9)) as url:
        yield url


class Contract:
    """A server's own description of itself, and what comes of calls that are made from it.

    A description cannot say which images there are in the world, which sessions live or what
    their labels are. Where a call has an image, an id or a label of the right form, a real one
    takes its place.
    """

    def __init__(self, url: str, images: Sequence[bytes]) -> None:
        headers = {"Authorization": f"Bearer {KEY}"}
        http = httpx.Client(base_url=url, timeout=60, trust_env=False, headers=headers)
        self._real = RealThings(http, images, MOST_IMAGES)
        self.statuses: dict[str, Counter[int]] = defaultdict(Counter)
        self.phases: dict[str, str] = {}
        self._schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        paths: dict[str, dict[str, Any]] = http.get("/openapi.json").json()["paths"]
        self.operations = [f"{m.upper()} {path}" for path, item in paths.items() for m in item]
        self._schema.config.update(headers=headers)
        self._schema.config.seed = SEED
        self._install()

    def run(
        self, max_examples: int, modes: Sequence[GenerationMode], *, at_bounds: bool = False
    ) -> list[str]:
        """Make so many calls at most of each operation, and as many conversations.

        With ``at_bounds`` each bound of the description is tried besides, and each method that an
        operation does not have. Gives what was wrong.
        """
        generation = self._schema.config.generation
        generation.update(
            modes=[*modes], max_examples=max_examples, deterministic=True, no_shrink=True
        )
        generation.database = "none"
        self._schema.config.phases.coverage.enabled = at_bounds
        wrong = []
        for event in from_schema(self._schema).execute():
            if isinstance(event, events.ScenarioFinished):
                wrong += _failures(event.recorder)
            elif isinstance(event, events.PhaseFinished):
                self.phases[event.phase.name.value] = event.status.value
            elif isinstance(event, events.NonFatalError):
                wrong.append(f"{event.label}: {event.value!r}")
            elif isinstance(event, events.FatalError):
                raise event.exception
        return wrong

    def n_calls(self) -> int:
        """How many calls were made, those by methods that an operation does not have among them."""
        return sum(statuses.total() for statuses in self.statuses.values())

    def shares_taken(self) -> dict[str, float]:
        """By operation, the share of calls that were answered by 2xx."""
        return {
            label: sum(n for status, n in self.statuses[label].items() if status < 300)
            / max(1, self.statuses[label].total())
            for label in self.operations
        }

    def _install(self) -> None:
        @self._schema.hook
        def map_case(context: HookContext, case: Case[Any]) -> Case[Any]:  # noqa: ARG001
            self._make_path_real(case)
            if is_cursor(case.query.get("after")):
                case.query["after"] = self._real.cursor
            return case

        @self._schema.hook
        def after_call(context: HookContext, case: Case[Any], response: Response) -> None:  # noqa: ARG001
            self.statuses[f"{case.method} {case.operation.path}"][response.status_code] += 1

        # A body is made real when it is written, so that it is held against the description as it
        # was made up.
        @REQUESTS_TRANSPORT.serializer(JSON)
        def real_json(context: SerializationContext, value: Any) -> dict[str, Any]:
            if isinstance(value, bytes):
                return {"data": value}
            body = self._real.json(*_asked(context.case), value)
            return {"data": json.dumps(body).encode(), "headers": {"Content-Type": JSON}}

        @REQUESTS_TRANSPORT.serializer(OCTETS)
        def real_file(context: SerializationContext, value: Any) -> dict[str, Any]:  # noqa: ARG001
            return {"data": self._real.file, "headers": {"Content-Type": OCTETS}}

        @REQUESTS_TRANSPORT.serializer(FORM)
        def real_form(context: SerializationContext, value: Any) -> dict[str, Any]:
            content = value if isinstance(value, bytes) else json.dumps(value, default=str).encode()
            if isinstance(value, dict):
                content = written(self._real.form(*_asked(context.case), value))
            return {
                "data": content,
                "headers": {"Content-Type": f"{FORM}; boundary={BOUNDARY}"},
            }

    def _make_path_real(self, case: Case[Any]) -> None:
        operation, path = case.operation.label, case.path_parameters
        if is_made_up_id(path.get("session_id")):
            changes = operation.startswith("DELETE") or operation.endswith("/support")
            path["session_id"] = self._real.new_session() if changes else self._real.session
        if "position" in path:
            # The sessions of answers may have an image of each class alone.
            path["session_id"] = self._real.in_place_of(path.get("session_id"))
            path["position"] = self._real.position(path["position"])


def _asked(case: Case[Any]) -> tuple[str, object]:
    """What a call is about, such as `adapt`, and the session in its path."""
    return case.operation.path.rpartition("/")[2], case.path_parameters.get("session_id")


def _failures(recorder: ScenarioRecorder) -> list[str]:
    """What was wrong with calls and their answers, with what it takes to repeat them."""
    found = []
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is None:
                continue
            case, told = recorder.cases[case_id].value, check.failure_info.failure
            made = recorder.interactions.get(case_id)
            answer = b""
            if made is not None and made.response is not None:
                answer = made.response.content
            found.append(
                f"{case.method} {case.operation.path}: {told}\n{answer[:1000]!r}\n"
                f"path {case.path_parameters}, query {case.query}, {str(case.body)[:1000]}"
            )
    return found
