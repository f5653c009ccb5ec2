from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import httpx


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
