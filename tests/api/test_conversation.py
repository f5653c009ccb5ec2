"""Conversations with a real server over a real socket."""

from __future__ import annotations

import base64
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape, plan_episode, realize, seeded
from inkling.training.candidate import Inductive
from inkling.training.evaluation import Setting, evaluate
from PIL import Image

from ..answers import TIE, assert_alike, probabilities
from ..pictures import DISGUISES, saved

Drawings = dict[str, list[bytes]]
NAMES = ("Angelic_01", "Ge_ez_01", "Keble_01", "Tengwar_01", "Tibetan_01")


def form(*fields: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [(label, ("drawing.png", content)) for label, content in fields]


def adapt(http: httpx.Client, support: Drawings, **options: Any) -> dict[str, Any]:
    fields = [(label, content) for label, contents in support.items() for content in contents]
    response = http.post("/adapt", files=form(*fields), data=options)
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer


def predict(http: httpx.Client, session_id: str, images: list[bytes]) -> list[dict[str, Any]]:
    response = http.post(
        "/predict",
        data={"session_id": session_id},
        files=form(*[("image", image) for image in images]),
    )
    assert response.status_code == 200, response.text
    predictions: list[dict[str, Any]] = response.json()["predictions"]
    return predictions


@pytest.fixture
def support(drawings: Drawings) -> Drawings:
    return {name: drawings[name][:3] for name in NAMES}


def test_a_support_set_becomes_a_session_that_classifies(
    http: httpx.Client, drawings: Drawings, support: Drawings, checkpoint: Checkpoint
) -> None:
    answer = adapt(http, support)
    assert answer["classes"] == [{"label": name, "images": 3} for name in NAMES]
    assert answer["initialization"] == {"name": "omniglot", "identity": checkpoint.identity}
    assert len(answer["loss"]) == checkpoint.initialization.inner_loop.steps + 1
    assert answer["support_accuracy"] == 1
    assert answer["device"] == "cpu" or answer["device"].startswith("cuda")
    queries = [(name, content) for name in NAMES for content in drawings[name][3:]]
    found = predict(http, answer["session_id"], [content for _, content in queries])
    right = [p["label"] == name for p, (name, _) in zip(found, queries, strict=True)]
    assert sum(right) >= 0.9 * len(right)
    for prediction in found:
        probabilities = [entry["probability"] for entry in prediction["probabilities"]]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert probabilities == sorted(probabilities, reverse=True)
        assert prediction["label"] == prediction["probabilities"][0]["label"]
        assert {entry["label"] for entry in prediction["probabilities"]} == set(NAMES)


def test_an_answer_says_where_it_is_and_where_time_went(
    http: httpx.Client, support: Drawings
) -> None:
    fields = [(label, content) for label, contents in support.items() for content in contents]
    response = http.post("/adapt", files=form(*fields), headers={"X-Request-Id": "mine-1"})
    assert response.headers["location"] == f"/sessions/{response.json()['session_id']}"
    assert response.headers["x-request-id"] == "mine-1"
    assert response.headers["cache-control"] == "no-store"
    parts = [part.split(";")[0] for part in response.headers["server-timing"].split(", ")]
    assert parts == ["queue", "decode", "compute", "store"]


def test_json_and_form_give_the_same_answers(
    http: httpx.Client, drawings: Drawings, support: Drawings
) -> None:
    body = {
        "support": [
            {"label": label, "image": base64.b64encode(content).decode()}
            for label, contents in support.items()
            for content in contents
        ],
        "steps": 3,
    }
    as_json = http.post("/adapt", json=body).json()
    as_form = adapt(http, support, steps=3)
    assert as_json["loss"] == pytest.approx(as_form["loss"], abs=1e-5)
    query = drawings["Keble_01"][10]
    url = "data:image/png;base64," + base64.b64encode(query).decode()
    response = http.post("/predict", json={"session_id": as_json["session_id"], "images": [url]})
    assert_alike(response.json()["predictions"], predict(http, as_form["session_id"], [query]))


@pytest.mark.parametrize("seed", range(4))
def test_http_predicts_what_evaluate_measures(
    http: httpx.Client,
    drawings: Drawings,
    classes: ClassImages,
    checkpoint: Checkpoint,
    seed: int,
) -> None:
    shape = EpisodeShape.fixed(5, 1, 10)
    plan = plan_episode([20] * len(classes.names), shape, seeded(seed, 0))
    names = [classes.names[index] for index in plan.classes]
    support = {
        name: [drawings[name][i] for i in members]
        for name, members in zip(names, plan.support, strict=True)
    }
    queries = [
        (name, drawings[name][i])
        for name, members in zip(names, plan.query, strict=True)
        for i in members
    ]
    session_id = adapt(http, support)["session_id"]
    found = predict(http, session_id, [content for _, content in queries])
    right = [p["label"] == name for p, (name, _) in zip(found, queries, strict=True)]
    seen: list[tuple[list[str], list[list[float]]]] = []
    measured = evaluate(
        Inductive(checkpoint.network, checkpoint.initialization, classes),
        Setting(shape, 1, seed),
        on_logits=lambda p, _, rows: seen.append(
            (
                [classes.names[index] for index in p.classes],
                checkpoint.scoring.probabilities(rows).tolist(),
            )
        ),
    )
    assert realize(classes, plan).query_labels.numel() == len(queries)
    assert measured.accuracy.mean == pytest.approx(sum(right) / len(right))
    ((labels, rows),) = seen
    for prediction, row in zip(found, rows, strict=True):
        expected = dict(zip(labels, row, strict=True))
        assert expected[prediction["label"]] >= max(row) - TIE
        assert probabilities(prediction) == pytest.approx(expected, abs=1e-5)


def test_the_same_calls_twice_give_bit_equal_answers(
    http: httpx.Client, drawings: Drawings, support: Drawings
) -> None:
    answers = []
    for _ in range(2):
        answer = adapt(http, support)
        found = predict(http, answer["session_id"], drawings["Ge_ez_01"][5:10])
        again = predict(http, answer["session_id"], drawings["Ge_ez_01"][5:10])
        assert found == again
        answers.append((answer["loss"], found))
    assert answers[0] == answers[1]


def test_company_does_not_move_a_prediction(
    http: httpx.Client, drawings: Drawings, support: Drawings
) -> None:
    session_id = adapt(http, support)["session_id"]
    query = drawings["Tengwar_01"][8]
    (alone,) = predict(http, session_id, [query])
    together = predict(http, session_id, [query, *drawings["Avesta_01"], *drawings["Oriya_01"]])[0]
    assert_alike([together], [alone])


def test_the_order_of_classes_and_images_does_not_move_a_prediction(
    http: httpx.Client, drawings: Drawings, support: Drawings, chooser: random.Random
) -> None:
    fields = [(label, content) for label, contents in support.items() for content in contents]
    queries = [drawings[name][7] for name in NAMES]
    found = []
    for _ in range(3):
        session_id = http.post("/adapt", files=form(*fields)).json()["session_id"]
        found.append(predict(http, session_id, queries))
        chooser.shuffle(fields)
    for shuffled in found[1:]:
        assert_alike(shuffled, found[0])


def test_an_uneven_support_set_works(http: httpx.Client, drawings: Drawings) -> None:
    counts = {"Angelic_01": 1, "Ge_ez_01": 3, "Keble_01": 7}
    answer = adapt(http, {name: drawings[name][:count] for name, count in counts.items()})
    assert answer["classes"] == [{"label": n, "images": c} for n, c in counts.items()]
    queries = [(name, content) for name in counts for content in drawings[name][7:]]
    found = predict(http, answer["session_id"], [content for _, content in queries])
    right = [p["label"] == name for p, (name, _) in zip(found, queries, strict=True)]
    assert sum(right) >= 0.9 * len(right)


@pytest.mark.parametrize("disguise", sorted(DISGUISES))
def test_the_same_drawing_in_another_container_is_predicted_alike(
    http: httpx.Client, drawings: Drawings, support: Drawings, disguise: str
) -> None:
    session_id = adapt(http, support)["session_id"]
    for name in NAMES:
        content = drawings[name][12]
        plain, other = predict(http, session_id, [content, DISGUISES[disguise](content)])
        assert other["label"] == plain["label"]
        assert other["probability"] == pytest.approx(plain["probability"], abs=0.05)


def test_labels_may_be_any_text_even_the_name_of_an_option(
    http: httpx.Client, drawings: Drawings
) -> None:
    decomposed, composed = "Cafe\u0301 ☕", "Caf\u00e9 ☕"
    support = {"steps": drawings["Ge_ez_01"][:1], f" {decomposed} ": drawings["Keble_01"][:2]}
    answer = adapt(http, support, steps=2)
    assert answer["steps"] == 2
    assert [entry["label"] for entry in answer["classes"]] == [composed, "steps"]


def test_sessions_interleaved_by_many_callers_never_mix(server: str, drawings: Drawings) -> None:
    names = sorted(drawings)

    def converse(first: int) -> None:
        # Every caller has other classes, and calls each of them by the same two names.
        mine = (names[first], names[first + 1])
        with httpx.Client(base_url=server, timeout=60, trust_env=False) as http:
            support = {"one": drawings[mine[0]][:3], "two": drawings[mine[1]][:3]}
            session_id = adapt(http, support)["session_id"]
            expected = predict(http, session_id, [drawings[mine[0]][5], drawings[mine[1]][5]])
            assert [prediction["label"] for prediction in expected] == ["one", "two"]
            for _ in range(5):
                found = predict(http, session_id, [drawings[mine[0]][5], drawings[mine[1]][5]])
                assert_alike(found, expected)

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(converse, range(0, 16, 2)))


def test_a_session_can_be_looked_at_and_deleted(
    http: httpx.Client, drawings: Drawings, support: Drawings
) -> None:
    answer = adapt(http, support, ttl_seconds=120)
    path = f"/sessions/{answer['session_id']}"
    seen = http.get(path).json()
    assert seen == {key: answer[key] for key in seen}
    assert seen["ttl_seconds"] == 120
    assert http.delete(path).status_code == 204
    refusals = [
        http.get(path),
        http.delete(path),
        http.post(
            "/predict",
            data={"session_id": answer["session_id"]},
            files=form(("image", drawings["Keble_01"][0])),
        ),
        http.get("/sessions/never-was"),
    ]
    for refusal in refusals:
        assert refusal.status_code == 404
        assert refusal.json()["type"] == "/problems/session-not-found"
    assert len({refusal.json()["detail"] for refusal in refusals}) == 1


def test_top_k_shortens_the_list(http: httpx.Client, drawings: Drawings, support: Drawings) -> None:
    session_id = adapt(http, support)["session_id"]
    response = http.post(
        "/predict",
        data={"session_id": session_id, "top_k": 2},
        files=form(("image", drawings["Keble_01"][9])),
    )
    assert len(response.json()["predictions"][0]["probabilities"]) == 2


def test_what_may_go_wrong_is_warned_of(http: httpx.Client, drawings: Drawings) -> None:
    shared = drawings["Keble_01"][0]
    answer = adapt(http, {"a": [shared], "b": [shared, drawings["Ge_ez_01"][0]]})
    codes = {warning["code"] for warning in answer["warnings"]}
    assert codes == {"few_images", "same_image"}


def test_a_query_without_a_drawing_is_warned_of(
    http: httpx.Client, drawings: Drawings, support: Drawings
) -> None:
    session_id = adapt(http, support)["session_id"]
    response = http.post(
        "/predict",
        data={"session_id": session_id},
        files=form(
            ("image", drawings["Keble_01"][9]), ("image", saved(Image.new("L", (50, 50), 255)))
        ),
    )
    (warning,) = response.json()["warnings"]
    assert warning == {"code": "blank_image", "message": "'image'[1] shows nothing"}


def test_what_is_loaded_is_listed(http: httpx.Client, checkpoint: Checkpoint) -> None:
    _, listed = http.get("/initializations").json()["initializations"]
    assert listed["identity"] == checkpoint.identity
    assert listed["default"] is False
    assert len(listed["measured"]) == len(checkpoint.config.results)


def test_the_server_says_that_it_lives_and_is_ready(http: httpx.Client) -> None:
    assert http.get("/livez").json() == {"status": "alive"}
    assert http.get("/readyz").json() == {"status": "ready"}
    assert http.head("/readyz").status_code == 200


def test_the_documentation_page_needs_nothing_from_elsewhere(http: httpx.Client) -> None:
    page = http.get("/docs")
    assert "//" not in page.text.replace("<!DOCTYPE html>", "").replace("// ", "")
    assets = [part.split('"')[0] for part in page.text.split('"/docs/assets/')[1:]]
    assert len(assets) == 3, assets
    for asset in assets:
        assert http.get(f"/docs/assets/{asset}").status_code == 200
    described = http.get("/openapi.json").json()
    assert "HTTPValidationError" not in described["components"]["schemas"]
    paths = described["paths"]
    for path in ("/adapt", "/predict"):
        content = paths[path]["post"]["requestBody"]["content"]
        assert set(content) == {"multipart/form-data", "application/json"}


def test_an_image_of_no_class_is_told_apart(
    http: httpx.Client, drawings: dict[str, list[bytes]]
) -> None:
    """Most drawings of other characters score above the limit, few of the session's own do."""
    names = sorted(drawings)
    session_id = adapt(http, {name: drawings[name][:5] for name in names[:5]})["session_id"]

    def flagged(chosen: list[str]) -> float:
        queries = [content for name in chosen for content in drawings[name][5:15]]
        found = [p["none_of_these"] for p in predict(http, session_id, queries)]
        assert all(entry["likely"] == (entry["score"] > 1) for entry in found)
        return sum(bool(entry["likely"]) for entry in found) / len(found)

    assert flagged(names[:5]) < 0.25
    assert flagged(names[10:15]) > 0.75


def test_photographs_are_warned_about_and_drawings_are_not(
    http: httpx.Client, drawings: dict[str, list[bytes]], photographs: list[bytes]
) -> None:
    def codes(support: Drawings) -> list[str]:
        answer = adapt(http, support, initialization="omniglot")
        return [warning["code"] for warning in answer["warnings"]]

    assert "unlike_training_data" in codes({"a": photographs[:3], "b": photographs[3:]})
    assert "unlike_training_data" not in codes({name: d[:2] for name, d in drawings.items()})


def test_a_query_unlike_drawings_is_warned_about_whatever_else_is_in_the_call(
    http: httpx.Client, drawings: dict[str, list[bytes]], photographs: list[bytes]
) -> None:
    session_id = adapt(http, {name: drawings[name][:3] for name in NAMES})["session_id"]
    known = [content for name in NAMES for content in drawings[name][3:]]

    def told(*queries: bytes) -> list[str]:
        files = [("image", (f"{n}.png", content)) for n, content in enumerate(queries)]
        response = http.post("/predict", data={"session_id": session_id}, files=files)
        assert response.status_code == 200
        warnings = response.json()["warnings"]
        return [each["message"] for each in warnings if each["code"] == "unlike_training_data"]

    assert not told(*known)
    (alone,) = told(photographs[0])
    (among,) = told(*known[:4], photographs[0])
    assert alone.endswith(": 'image'[0]")
    assert among == alone.replace("[0]", "[4]")
