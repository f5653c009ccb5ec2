"""Images that are taken out of a session again, and reports on sessions as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from ..answers import assert_alike
from . import test_photographs as photos
from .test_conversation import NAMES, Drawings, adapt, form, predict

Fields = list[tuple[str, bytes]]


def made(http: httpx.Client, fields: Fields, **options: str) -> dict[str, Any]:
    """What a server says of a session of these images, one file a field."""
    response = http.post("/adapt", files=form(*fields), data=options)
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer


def drawn(drawings: Drawings, names: Sequence[str] = NAMES[:3]) -> Fields:
    return [(name, content) for name in names for content in drawings[name][:3]]


@pytest.mark.parametrize("kind", ["drawings", "photographs"])
def test_a_session_without_an_image_is_as_if_that_had_not_been_sent(
    http: httpx.Client, drawings: Drawings, kind: str
) -> None:
    fields = drawn(drawings) if kind == "drawings" else photos.form(0, 3)
    queries = [content for _, content in fields][::2]
    session = made(http, fields)
    gone = http.delete(f"/sessions/{session['session_id']}/support/4")
    assert gone.status_code == 200, gone.text
    answer, reference = gone.json(), made(http, fields[:4] + fields[5:])
    assert answer["loss"] == pytest.approx(reference["loss"], abs=1e-5)
    for told in ("classes", "support_accuracy", "steps", "views", "initialization"):
        assert answer[told] == reference[told], told
    assert answer["version"] == 2
    assert gone.headers["ETag"] == '"2"'
    assert_alike(
        predict(http, session["session_id"], queries),
        predict(http, reference["session_id"], queries),
    )


def test_a_class_goes_with_its_last_image_but_two_stay(
    http: httpx.Client, drawings: Drawings
) -> None:
    fields = [*drawn(drawings, NAMES[:2]), ("alone", drawings[NAMES[2]][0])]
    session_id = made(http, fields)["session_id"]
    answer = http.delete(f"/sessions/{session_id}/support/6?report=true&steps=1").json()
    assert [entry["label"] for entry in answer["classes"]] == list(NAMES[:2])
    assert answer["report"]["n_checked"] == 6
    assert answer["steps"] == 1
    for _ in range(2):
        http.delete(f"/sessions/{session_id}/support/0")
    refused = http.delete(f"/sessions/{session_id}/support/0")
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["code"] == "number_of_classes"
    assert http.get(f"/sessions/{session_id}").json()["version"] == 4


def test_no_second_image_goes_with_a_call_that_is_sent_again(
    http: httpx.Client, drawings: Drawings
) -> None:
    path = f"/sessions/{made(http, drawn(drawings))['session_id']}/support/0"
    once = {"Idempotency-Key": "take-out-one"}
    first, again = http.delete(path, headers=once), http.delete(path, headers=once)
    assert first.content == again.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert http.delete(path, headers={"If-Match": '"1"'}).status_code == 412
    other = http.delete(f"{path}?steps=1", headers=once)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")


@pytest.mark.parametrize(
    ("path", "status", "type_"),
    [
        ("support/9", 404, "support-image-not-found"),
        ("support/-1", 422, "invalid-input"),
        ("support/one", 422, "invalid-input"),
        ("support/0?steps=many", 422, "invalid-input"),
        ("support/0?ttl_seconds=9", 422, "invalid-input"),
    ],
)
def test_what_cannot_be_taken_out_is_refused(
    http: httpx.Client, drawings: Drawings, path: str, status: int, type_: str
) -> None:
    session_id = made(http, drawn(drawings))["session_id"]
    refused = http.delete(f"/sessions/{session_id}/{path}")
    assert (refused.status_code, refused.json()["type"]) == (status, f"/problems/{type_}")
    assert http.get(f"/sessions/{session_id}").json()["version"] == 1


def test_sessions_without_support_sets_have_no_reports_and_nothing_to_take_out(
    http: httpx.Client, drawings: Drawings
) -> None:
    support = {name: drawings[name][:2] for name in NAMES[:2]}
    path = f"/sessions/{adapt(http, support, keep_support='false')['session_id']}"
    for refused in (http.delete(f"{path}/support/0"), http.post(f"{path}/report")):
        assert refused.status_code == 409
        assert refused.json()["type"] == "/problems/support-not-kept"


@pytest.mark.parametrize("kind", ["drawings", "photographs"])
def test_a_report_on_a_session_is_that_of_its_adaptation(
    http: httpx.Client, drawings: Drawings, kind: str
) -> None:
    fields = drawn(drawings) if kind == "drawings" else photos.form(0, 3)
    session = made(http, fields, report="true")
    answer = http.post(f"/sessions/{session['session_id']}/report")
    assert answer.status_code == 200, answer.text
    expected, found = session["report"], answer.json()["report"]
    for suspects in (expected["suspects"], found["suspects"]):
        for suspect in suspects:
            assert suspect.pop("margin") > 0
            del suspect["field"], suspect["index"], suspect["probability"]
    assert found == expected
    assert answer.json()["embedding"] is None
    assert answer.json()["version"] == 1
    assert "compute" in answer.headers["Server-Timing"]


@pytest.mark.parametrize("kind", ["drawings", "photographs"])
def test_images_of_a_class_lie_together_in_the_plane(
    http: httpx.Client, drawings: Drawings, kind: str
) -> None:
    fields = drawn(drawings) if kind == "drawings" else photos.form(0, 3)
    path = f"/sessions/{made(http, fields)['session_id']}/report"
    answer = http.post(path, json={"embedding": True, "steps": 2}).json()
    points = answer["embedding"]["points"]
    assert [point["label"] for point in points] == [label for label, _ in fields]
    assert [point["position"] for point in points] == list(range(len(fields)))
    places = [complex(point["x"], point["y"]) for point in points]
    assert max(max(abs(place.real), abs(place.imag)) for place in places) == pytest.approx(1)
    nearest = [
        min((abs(place - other), n) for n, other in enumerate(places) if n != at)[1]
        for at, place in enumerate(places)
    ]
    together = sum(fields[n][0] == fields[at][0] for at, n in enumerate(nearest))
    assert together >= len(fields) - 1
    again = http.post(path, files=[("embedding", (None, "true"))]).json()
    assert again["embedding"] == answer["embedding"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"json": {"embedding": "yes"}}, 422),
        ({"json": {"steps": 1000}}, 422),
        ({"json": {"report": True}}, 422),
        ({"files": [("image", ("1.png", b"1"))]}, 422),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"steps=1"}, 415),
    ],
)
def test_a_report_that_asks_for_what_there_is_not_is_refused(
    http: httpx.Client, drawings: Drawings, body: dict[str, Any], status: int
) -> None:
    session_id = made(http, drawn(drawings))["session_id"]
    assert http.post(f"/sessions/{session_id}/report", **body).status_code == status
