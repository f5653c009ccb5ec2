"""What `/openapi.json` says is true."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from inkling.api.problems import ALL_KINDS


@pytest.fixture
def described(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/openapi.json").json()
    return found


def example(described: dict[str, Any], path: str) -> dict[str, Any]:
    content = described["paths"][path]["post"]["requestBody"]["content"]
    found: dict[str, Any] = content["application/json"]["example"]
    return found


def test_every_example_does_what_it_shows(http: httpx.Client, described: dict[str, Any]) -> None:
    made = http.post("/adapt", json=example(described, "/adapt"))
    assert made.status_code == 201, made.text
    assert made.json()["report"]["method"] == "leave_one_out"
    session_id = made.json()["session_id"]
    asked = example(described, "/predict") | {"session_id": session_id}
    found = http.post("/predict", json=asked).json()["predictions"]
    assert [prediction["label"] for prediction in found] == ["tengwar", "tibetan"]
    more = example(described, "/sessions/{session_id}/support")
    grown = http.post(f"/sessions/{session_id}/support", json=more)
    assert [entry["label"] for entry in grown.json()["classes"]] == ["keble", "tengwar", "tibetan"]
    queries = example(described, "/sessions/{session_id}/evaluate")
    assert http.post(f"/sessions/{session_id}/evaluate", json=queries).json()["n_images"] == 2
    report = example(described, "/sessions/{session_id}/report")
    points = http.post(f"/sessions/{session_id}/report", json=report).json()["embedding"]["points"]
    assert len(points) == 6
    posts = [path for path, item in described["paths"].items() if "post" in item]
    assert len(posts) == 6


def test_forms_tell_that_fields_are_labels(described: dict[str, Any]) -> None:
    for path in ("/adapt", "/sessions/{session_id}/support", "/sessions/{session_id}/evaluate"):
        content = described["paths"][path]["post"]["requestBody"]["content"]
        schema = content["multipart/form-data"]["schema"]
        assert "its field's name is the label" in schema["description"]
        assert schema["additionalProperties"]["items"] == {"type": "string", "format": "binary"}


def test_an_option_of_a_form_may_be_left_empty_and_keeps_its_bounds(
    described: dict[str, Any],
) -> None:
    content = described["paths"]["/adapt"]["post"]["requestBody"]["content"]
    options = content["multipart/form-data"]["schema"]["properties"]
    for name, option in options.items():
        filled, empty = option["anyOf"]
        assert empty == {"type": "string", "const": ""}
        assert filled.keys() & {"enum", "maximum"}, name


def test_names_of_problems_are_listed(described: dict[str, Any]) -> None:
    (name,) = described["paths"]["/problems/{name}"]["get"]["parameters"]
    assert set(name["schema"]["enum"]) == set(ALL_KINDS)


def test_every_route_that_takes_a_key_says_what_comes_without(described: dict[str, Any]) -> None:
    open_to_all = {"/livez", "/readyz", "/problems/{name}"}
    for path, item in described["paths"].items():
        for operation in item.values():
            assert ("401" in operation["responses"]) == (path not in open_to_all)


def test_every_kind_of_problem_is_explained(http: httpx.Client) -> None:
    for name, kind in ALL_KINDS.items():
        told = http.get(f"/problems/{name}")
        assert told.status_code == 200
        assert told.json()["status"] == kind.status
        assert told.json()["detail"]
