"""Sessions that grow, are listed, measured and survive the process, over a real socket."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings

from ..pictures import huge_png
from .test_conversation import NAMES, Drawings, adapt, form, predict


@pytest.fixture
def support(drawings: Drawings) -> Drawings:
    return {name: drawings[name][:2] for name in NAMES[:3]}


def add(http: httpx.Client, session_id: str, support: Drawings, **headers: str) -> httpx.Response:
    fields = [(label, content) for label, contents in support.items() for content in contents]
    return http.post(f"/sessions/{session_id}/support", files=form(*fields), headers=headers)


def close(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Tell whether predictions agree to 1e-5."""
    ranked = [
        [{e["label"]: e["probability"] for e in p["probabilities"]} for p in predictions]
        for predictions in (one, other)
    ]
    return all(
        a.keys() == b.keys() and all(abs(a[label] - b[label]) <= 1e-5 for label in a)
        for a, b in zip(*ranked, strict=True)
    )


def test_adding_images_is_adapting_to_all_of_them_at_once(
    http: httpx.Client, drawings: Drawings, support: Drawings
) -> None:
    made = adapt(http, support, steps=3)
    more = {NAMES[0]: drawings[NAMES[0]][2:4], NAMES[3]: drawings[NAMES[3]][:3]}
    answer = add(http, made["session_id"], more)
    assert answer.status_code == 200, answer.text
    grown = answer.json()
    assert grown["session_id"] == made["session_id"]
    assert (grown["version"], grown["steps"]) == (2, 3)
    assert answer.headers["etag"] == '"2"'
    assert "location" not in answer.headers
    counts = {entry["label"]: entry["images"] for entry in grown["classes"]}
    assert counts == {NAMES[0]: 4, NAMES[1]: 2, NAMES[2]: 2, NAMES[3]: 3}
    union = {name: [*support.get(name, []), *more.get(name, [])] for name in counts}
    at_once = adapt(http, union, steps=3)
    assert grown["loss"] == pytest.approx(at_once["loss"], abs=1e-5)
    queries = [drawings[name][10] for name in NAMES]
    one = predict(http, made["session_id"], queries)
    assert close(one, predict(http, at_once["session_id"], queries))


def test_additions_at_the_same_time_are_all_there(
    http: httpx.Client, server: str, drawings: Drawings, support: Drawings
) -> None:
    session_id = adapt(http, support)["session_id"]
    statuses: list[int] = []

    def one(name: str) -> None:
        with httpx.Client(base_url=server, timeout=60, trust_env=False) as own:
            statuses.append(add(own, session_id, {name: drawings[name][:2]}).status_code)

    others = sorted(drawings.keys() - support.keys())[:6]
    threads = [threading.Thread(target=one, args=(name,)) for name in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6
    told = http.get(f"/sessions/{session_id}").json()
    assert told["version"] == 7
    assert {entry["label"] for entry in told["classes"]} == {*support, *others}
    at_once = adapt(http, support | {name: drawings[name][:2] for name in others})
    queries = [drawings[name][10] for name in others]
    found = predict(http, session_id, queries)
    assert close(found, predict(http, at_once["session_id"], queries))


def test_an_addition_that_fails_leaves_the_session_as_it_was(
    http: httpx.Client, drawings: Drawings, support: Drawings
) -> None:
    session_id = adapt(http, support)["session_id"]
    before = http.get(f"/sessions/{session_id}").json()
    query = [drawings[NAMES[1]][7]]
    answer = predict(http, session_id, query)
    refused = add(http, session_id, {"new": [huge_png(13_000), b"no image"]})
    assert refused.status_code == 422
    codes = {problem["code"] for problem in refused.json()["problems"]}
    assert codes == {"too_many_pixels", "not_an_image"}
    after = http.get(f"/sessions/{session_id}").json()
    assert {**after, "expires_at": ""} == {**before, "expires_at": ""}
    assert predict(http, session_id, query) == answer


def test_if_match_refuses_an_addition_to_another_version(
    http: httpx.Client, drawings: Drawings, support: Drawings
) -> None:
    session_id = adapt(http, support)["session_id"]
    tag = http.get(f"/sessions/{session_id}").headers["etag"]
    more = {NAMES[0]: drawings[NAMES[0]][5:6]}
    assert add(http, session_id, more, **{"If-Match": tag}).status_code == 200
    refused = add(http, session_id, more, **{"If-Match": tag})
    assert refused.status_code == 412
    assert refused.json()["type"] == "/problems/precondition-failed"
    weak = add(http, session_id, more, **{"If-Match": 'W/"2"'})
    assert weak.status_code == 412
    assert add(http, session_id, more, **{"If-Match": '"1", "2"'}).status_code == 200
    assert add(http, session_id, more, **{"If-Match": "*"}).status_code == 200
    bad = add(http, session_id, more, **{"If-Match": "2"})
    assert bad.json()["problems"][0]["code"] == "bad_entity_tag"


def test_nothing_is_added_to_a_session_that_keeps_no_support_set(
    http: httpx.Client, drawings: Drawings, support: Drawings
) -> None:
    made = adapt(http, support, keep_support="false")
    assert made["keeps_support"] is False
    refused = add(http, made["session_id"], {NAMES[0]: drawings[NAMES[0]][3:4]})
    assert refused.status_code == 409
    assert refused.json()["type"] == "/problems/support-not-kept"
    unknown = add(http, "unknown", support)
    assert unknown.status_code == 404


def test_a_server_may_keep_no_support_sets(support: Drawings, tmp_path: Path) -> None:
    before = Settings(session_folder=tmp_path, workers=1)
    with (
        local_server(create_app(before)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        kept = adapt(http, support)["session_id"]
    settings = Settings(keep_support=False, session_folder=tmp_path, workers=1)
    with (
        local_server(create_app(settings)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        assert add(http, kept, support).json()["type"] == "/problems/support-not-kept"
        assert adapt(http, support)["keeps_support"] is False
        fields = [(label, content) for label, contents in support.items() for content in contents]
        refused = http.post("/adapt", files=form(*fields), data={"keep_support": "true"})
        assert refused.json()["problems"][0]["code"] == "not_allowed"


def test_labelled_queries_measure_a_session(
    http: httpx.Client, drawings: Drawings, support: Drawings
) -> None:
    session_id = adapt(http, support)["session_id"]
    wrong = drawings[NAMES[1]][5]
    fields = [(name, content) for name in support for content in drawings[name][5:12]]
    fields.append((NAMES[0], wrong))
    response = http.post(f"/sessions/{session_id}/evaluate", files=form(*fields))
    assert response.status_code == 200, response.text
    found = response.json()
    predicted = predict(http, session_id, [content for _, content in fields])
    right = [p["label"] == label for p, (label, _) in zip(predicted, fields, strict=True)]
    assert found["n_images"] == len(fields)
    assert found["accuracy"] == pytest.approx(sum(right) / len(right))
    mistakes = [(m["field"], m["index"], m["predicted"]) for m in found["mistakes"]]
    assert (NAMES[0], 7, NAMES[1]) in mistakes
    assert len(mistakes) == right.count(False)
    confusion = found["confusion"]
    assert sum(map(sum, confusion["counts"])) == len(fields)
    for place, entry in enumerate(found["classes"]):
        column = sum(row[place] for row in confusion["counts"])
        row = confusion["counts"][place]
        assert entry["recall"] == pytest.approx(row[place] / sum(row))
        assert entry["precision"] == pytest.approx(row[place] / column)
    assert found["log_loss"] > 0
    assert 0 <= found["calibration_error"] <= 1
    assert 0 <= found["none_of_these"] <= 1


def test_queries_of_unknown_labels_are_refused(
    http: httpx.Client, drawings: Drawings, support: Drawings
) -> None:
    session_id = adapt(http, support)["session_id"]
    fields = [(NAMES[0], drawings[NAMES[0]][4]), ("other", drawings[NAMES[1]][4])]
    refused = http.post(f"/sessions/{session_id}/evaluate", files=form(*fields))
    assert refused.status_code == 422
    (problem,) = refused.json()["problems"]
    assert (problem["code"], problem["field"]) == ("unknown_label", "other")


def test_sessions_are_listed_page_by_page(support: Drawings) -> None:
    settings = Settings(session_store="memory", workers=1)
    with (
        local_server(create_app(settings)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        made = [adapt(http, support, steps=0)["session_id"] for _ in range(5)]
        first = http.get("/v1/sessions", params={"limit": 2})
        listed = [entry["session_id"] for entry in first.json()["sessions"]]
        link = first.headers["link"]
        assert link.endswith('>; rel="next"')
        assert link.startswith("</v1/sessions?")
        while link:
            page = http.get(link[1:].partition(">")[0])
            listed += [entry["session_id"] for entry in page.json()["sessions"]]
            link = page.headers.get("link", "")
        assert sorted(listed) == sorted(made)
        assert listed[0] == made[-1]
        cursors = ('[1,"\\ud800"]', f'[1{400 * "0"},"x"]', 5000 * "[", "[NaN]", "1")
        bad = [base64.urlsafe_b64encode(cursor.encode()).decode() for cursor in cursors]
        queries = [*(f"after={cursor}" for cursor in (*bad, "x")), f"limit={5000 * '9'}"]
        for query in ("limit=0", "limit=501", "limit=x", *queries):
            assert http.get(f"/sessions?{query}").status_code == 422


def test_the_same_routes_are_under_v1(http: httpx.Client, support: Drawings) -> None:
    fields = [(label, content) for label, contents in support.items() for content in contents]
    made = http.post("/v1/adapt", files=form(*fields))
    assert made.status_code == 201
    location = made.headers["location"]
    assert location == f"/v1/sessions/{made.json()['session_id']}"
    assert http.get(location).status_code == 200
    assert http.get("/v1/initializations").json() == http.get("/initializations").json()
    assert http.delete(location).status_code == 204
    refused = http.get("/v1/adapt")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_sessions_outlive_the_server(drawings: Drawings, support: Drawings, tmp_path: Path) -> None:
    settings = Settings(session_folder=tmp_path, workers=1)
    query = [drawings[NAMES[2]][9]]
    with (
        local_server(create_app(settings)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        session_id = adapt(http, support)["session_id"]
        before = predict(http, session_id, query)
    with (
        local_server(create_app(settings)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        assert predict(http, session_id, query) == before
        assert add(http, session_id, {"more": drawings[NAMES[4]][:1]}).status_code == 200


def test_an_old_and_a_new_initialization_stand_side_by_side(
    checkpoint: Checkpoint, drawings: Drawings, support: Drawings, tmp_path: Path
) -> None:
    """An upgrade: the new file with the old one beside it, then the new one alone."""
    new = tmp_path / "new"
    uncalibrated = checkpoint.config.model_copy(update={"calibration": None})
    save_checkpoint(new, uncalibrated, checkpoint.initialization)
    query = [drawings[NAMES[1]][9]]

    @contextlib.contextmanager
    def serving(*initializations: str, default: str | None = None) -> Iterator[httpx.Client]:
        settings = Settings(
            initializations=initializations,
            default_initialization=default,
            session_folder=tmp_path / "sessions",
            workers=1,
        )
        with (
            local_server(create_app(settings)) as url,
            httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
        ):
            yield http

    with serving("omniglot") as http:
        old_session = adapt(http, support)["session_id"]
        before = predict(http, old_session, query)
    with serving("before=omniglot", str(new), default="omniglot") as http:
        listed = http.get("/initializations").json()["initializations"]
        names = [(entry["name"], entry["default"]) for entry in listed]
        assert names == [("before", False), ("omniglot", True)]
        assert predict(http, old_session, query) == before
        made = adapt(http, support)
        assert made["initialization"] == {
            "name": "omniglot",
            "identity": load_checkpoint(new).identity,
        }
        chosen = adapt(http, support, initialization="before")
        assert chosen["initialization"]["identity"] == checkpoint.identity
    with serving(str(new)) as http:
        assert predict(http, made["session_id"], query)[0]["none_of_these"] is None
        refused = http.post(
            "/predict", data={"session_id": old_session}, files=form(("image", query[0]))
        )
        assert refused.status_code == 409
        assert refused.json()["type"] == "/problems/initialization-not-loaded"
        told = {
            e["session_id"]: e["initialization"] for e in http.get("/sessions").json()["sessions"]
        }
        assert told[old_session] == {"name": None, "identity": checkpoint.identity}
