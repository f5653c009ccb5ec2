"""What a report tells of a support set."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings

from ..mislabelled import mislabelled_is_top_suspect
from .test_conversation import NAMES, Drawings, form


def adapt(
    http: httpx.Client, fields: list[tuple[str, bytes]], path: str = "/adapt"
) -> dict[str, Any]:
    response = http.post(path, files=form(*fields), data={"report": "true"})
    assert response.is_success, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize("uneven", [False, True])
def test_a_planted_wrong_label_is_the_top_suspect(
    http: httpx.Client, drawings: Drawings, uneven: bool
) -> None:
    found = [mislabelled_is_top_suspect(http, drawings, seed, uneven=uneven) for seed in range(6)]
    assert sum(found) >= 5


def test_a_report_holds_each_image_out(http: httpx.Client, drawings: Drawings) -> None:
    fields = [(name, content) for name in NAMES[:3] for content in drawings[name][:4]]
    fields += [("alone", drawings[NAMES[3]][0]), (NAMES[0], drawings[NAMES[1]][9])]
    answer = adapt(http, fields)
    report = answer["report"]
    assert report["method"] == "leave_one_out"
    assert report["n_checked"] == len(fields) - 1
    assert report["not_checkable"] == ["alone"]
    (suspect, *_) = report["suspects"]
    assert (suspect["field"], suspect["index"]) == (NAMES[0], 4)
    assert suspect["position"] == len(fields) - 1
    assert (suspect["label"], suspect["looks_like"]) == (NAMES[0], NAMES[1])
    assert {"label": NAMES[0], "taken_for": NAMES[1], "images": 1} in report["confused"]
    assert sum(map(sum, report["confusion"]["counts"])) == report["n_checked"]
    trace = sum(row[place] for place, row in enumerate(report["confusion"]["counts"]))
    assert report["accuracy"] == pytest.approx(trace / report["n_checked"])


def test_an_image_of_an_earlier_call_is_named_by_its_position(
    http: httpx.Client, drawings: Drawings
) -> None:
    fields = [(name, content) for name in NAMES[:2] for content in drawings[name][:4]]
    fields.insert(3, (NAMES[1], drawings[NAMES[0]][9]))
    session_id = adapt(http, fields)["session_id"]
    more = [(NAMES[2], content) for content in drawings[NAMES[2]][:3]]
    (suspect, *_) = adapt(http, more, f"/sessions/{session_id}/support")["report"]["suspects"]
    # Kept images stand in the order sent.
    assert (suspect["position"], suspect["field"], suspect["index"]) == (3, None, None)


def test_nothing_is_reported_unless_it_is_asked_for(http: httpx.Client, drawings: Drawings) -> None:
    fields = [(name, content) for name in NAMES[:2] for content in drawings[name][:2]]
    assert http.post("/adapt", files=form(*fields)).json()["report"] is None


def test_a_report_that_takes_too_long_is_left_out_with_a_warning(drawings: Drawings) -> None:
    settings = Settings(report_deadline_seconds=1e-6, session_store="memory", workers=1)
    fields = [(name, content) for name in NAMES[:2] for content in drawings[name][:3]]
    with (
        local_server(create_app(settings)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        answer = adapt(http, fields)
        assert answer["report"] is None
        assert "report_unfinished" in {warning["code"] for warning in answer["warnings"]}
        assert http.get(f"/sessions/{answer['session_id']}").status_code == 200


def test_classes_that_cannot_be_told_apart_are_warned_about(
    http: httpx.Client, drawings: Drawings
) -> None:
    same = drawings[NAMES[0]][0]
    answer = http.post("/adapt", files=form(("a", same), ("b", same))).json()
    codes = {warning["code"] for warning in answer["warnings"]}
    assert {"one_class_wins", "same_image", "few_images"} <= codes
