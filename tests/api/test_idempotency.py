"""Calls that are sent again because their answer was lost."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from .test_conversation import NAMES, Drawings, form

SUPPORT = 2


def send(
    http: httpx.Client, drawings: Drawings, key: str, path: str = "/adapt", **data: Any
) -> httpx.Response:
    fields = [(name, content) for name in NAMES[:3] for content in drawings[name][:SUPPORT]]
    return http.post(path, files=form(*fields), data=data, headers={"Idempotency-Key": key})


def test_the_same_key_and_content_get_the_same_answer(
    http: httpx.Client, drawings: Drawings
) -> None:
    first = send(http, drawings, "same-1", steps=2)
    again = send(http, drawings, "same-1", steps=2)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    for header in ("location", "etag"):
        assert first.headers[header] == again.headers[header]
    assert first.content == again.content
    other = send(http, drawings, "same-2", steps=2)
    assert other.json()["session_id"] != first.json()["session_id"]


def test_another_content_under_a_key_is_refused(http: httpx.Client, drawings: Drawings) -> None:
    send(http, drawings, "other-1")
    refused = send(http, drawings, "other-1", steps=1)
    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/idempotency-key-reused"


def test_a_call_that_failed_gives_its_key_back(http: httpx.Client, drawings: Drawings) -> None:
    assert send(http, drawings, "failed-1", steps=10_000).status_code == 422
    assert send(http, drawings, "failed-1").status_code == 201


def test_a_repetition_with_a_wrong_option_is_refused(
    http: httpx.Client, drawings: Drawings
) -> None:
    assert send(http, drawings, "wrong-1").status_code == 201
    refused = send(http, drawings, "wrong-1", colour="red")
    assert refused.json()["problems"][0]["code"] == "unknown_option"


def test_two_keys_are_refused(http: httpx.Client, drawings: Drawings) -> None:
    fields = form(*[(name, drawings[name][0]) for name in NAMES[:2]])
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    refused = http.post("/adapt", files=fields, headers=headers)
    assert refused.json()["problems"][0]["code"] == "bad_key"


def test_a_key_is_for_one_route(http: httpx.Client, drawings: Drawings) -> None:
    made = send(http, drawings, "route-1")
    path = f"/sessions/{made.json()['session_id']}/support"
    grown = send(http, drawings, "route-1", path)
    assert (grown.status_code, grown.json()["version"]) == (200, 2)
    again = send(http, drawings, "route-1", path)
    assert again.json()["version"] == 2
    assert again.headers["idempotency-replayed"] == "true"
    assert http.get(f"/sessions/{made.json()['session_id']}").json()["version"] == 2


def test_calls_with_one_key_at_the_same_time_make_one_session(
    server: str, drawings: Drawings
) -> None:
    answers: list[httpx.Response] = []

    def one() -> None:
        with httpx.Client(base_url=server, timeout=60, trust_env=False) as own:
            answers.append(send(own, drawings, "race-1", report="true"))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.json()["session_id"] for answer in made}) == 1
    for answer in answers:
        if answer.status_code != 201:
            assert answer.status_code == 409
            assert answer.json()["type"] == "/problems/idempotency-key-in-use"
            assert int(answer.headers["retry-after"]) >= 1


def test_the_answer_of_a_deleted_session_is_gone_with_it(
    http: httpx.Client, drawings: Drawings
) -> None:
    made = send(http, drawings, "deleted-1")
    assert http.delete(made.headers["location"]).status_code == 204
    again = send(http, drawings, "deleted-1")
    assert again.status_code == 404
    assert again.json()["type"] == "/problems/session-not-found"


@pytest.mark.parametrize("key", ["", "two words", "x" * 256])
def test_a_key_that_is_none_is_refused(http: httpx.Client, drawings: Drawings, key: str) -> None:
    refused = send(http, drawings, key)
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["code"] == "bad_key"
