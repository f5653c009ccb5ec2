from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

DOCKER = Path(__file__).resolve().parents[2] / "docker"


def figures(http: httpx.Client) -> dict[str, float]:
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_metrics_count_calls_batches_and_sessions(
    http: httpx.Client, drawings: dict[str, list[bytes]]
) -> None:
    before = figures(http)
    support = [
        (label, (f"{place}.png", image))
        for label, images in list(drawings.items())[:2]
        for place, image in enumerate(images[:2])
    ]
    made = http.post("/adapt", files=support)
    assert made.status_code == 201
    query = drawings[next(iter(drawings))][5]

    def predict(_: int) -> int:
        return http.post(
            "/predict",
            data={"session_id": made.json()["session_id"]},
            files={"image": ("q.png", query)},
        ).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(predict, range(16))) == {200}
    after = figures(http)
    predicting = '{what="predicting"}'

    def more(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert more(f"inkling_engine_calls_total{predicting}") == 16
    assert 1 <= more(f"inkling_engine_batches_total{predicting}") <= 16
    assert more('inkling_engine_calls_total{what="adapting"}') == 1
    assert after[f"inkling_engine_mean_batch_size{predicting}"] >= 1
    assert more("inkling_sessions") == 1
    assert after["inkling_engine_waiting"] == 0
    loaded = [name for name in after if name.startswith("inkling_initialization_info")]
    executors = [re.findall(r'executor="(\w+)"', name) for name in loaded]
    assert sorted(executors) == [["conv4"], ["trunk"]]


def test_stages_refusals_bytes_and_sweeps_are_told(http: httpx.Client) -> None:
    names = {
        line.partition("{")[0].partition(" ")[0] for line in http.get("/metrics").text.splitlines()
    }
    assert {"inkling_bytes_in_flight", "inkling_sweeps_total", "inkling_calls"} <= names
    before = figures(http)
    assert http.get("/nowhere").status_code == 404
    assert http.get("/sessions/unknown").status_code == 404
    assert http.post("/predict", content=b"x").status_code == 415
    after = figures(http)
    for problem in ("not-found", "session-not-found", "unsupported-media-type"):
        name = f'inkling_refusals_total{{problem="{problem}"}}'
        assert after[name] - before.get(name, 0) == 1


def test_what_never_becomes_a_request_is_counted_by_its_reason(http: httpx.Client) -> None:
    name = 'inkling_refused_heads_total{problem="head-too-large"}'
    before = figures(http).get(name, 0)
    assert http.get("/livez", headers={"X-Large": "x" * 70_000}).status_code == 431
    assert figures(http)[name] - before == 1


def test_every_metric_that_is_drawn_or_watched_exists(http: httpx.Client) -> None:
    exposed = {"up"}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", http.get("/metrics").text, re.MULTILINE):
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        exposed |= {name + part for part in parts}
    dashboard = json.loads((DOCKER / "grafana/dashboards/inkling.json").read_text())
    drawn = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    watched = (DOCKER / "alerts.yml").read_text()
    for expressions in ("\n".join(drawn), watched):
        named = set(re.findall(r"\b(?:inkling|process)_\w+|\bup\b(?=\{)", expressions))
        assert named
        assert named <= exposed
