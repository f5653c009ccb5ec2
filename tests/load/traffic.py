"""What clients under load send, and what they have to get back."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import httpx

from ..answers import PROBABILITY_TOLERANCE

Fields = list[tuple[str, tuple[str, bytes]]]


@dataclass(frozen=True)
class Task:
    """A support set and one query."""

    support: Fields
    query: bytes


def draw_task(
    drawings: dict[str, list[bytes]], number: int, n_way: int = 3, n_shot: int = 2
) -> Task:
    """The task of a number, always the same one."""
    chooser = random.Random(number)
    names = sorted(chooser.sample(sorted(drawings), n_way))
    picked = {name: chooser.sample(drawings[name], n_shot + 1) for name in names}
    support = [
        (name, ("drawing.png", content)) for name in names for content in picked[name][:n_shot]
    ]
    return Task(support, picked[chooser.choice(names)][n_shot])


def adapt(http: httpx.Client, task: Task, key: str | None = None, **options: Any) -> httpx.Response:
    """Send a support set, under an idempotency key if there is one."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return http.post("/adapt", files=task.support, data=options, headers=headers)


def answer(http: httpx.Client, session_id: str, task: Task) -> dict[str, float]:
    """The probabilities of a task's query in a session, by label."""
    response = http.post(
        "/predict",
        data={"session_id": session_id},
        files=[("image", ("drawing.png", task.query))],
    )
    assert response.status_code == 200, response.text
    (prediction,) = response.json()["predictions"]
    return {entry["label"]: entry["probability"] for entry in prediction["probabilities"]}


def same(found: dict[str, float], expected: dict[str, float]) -> bool:
    """Tell whether two answers agree as closely as the documentation promises."""
    return found.keys() == expected.keys() and all(
        abs(found[label] - expected[label]) <= PROBABILITY_TOLERANCE for label in found
    )


def session_ids(http: httpx.Client) -> set[str]:
    """Every session that the server lists."""
    found: set[str] = set()
    after = None
    while True:
        page = http.get("/sessions", params={"limit": 500} | ({"after": after} if after else {}))
        assert page.status_code == 200, page.text
        body = page.json()
        found |= {entry["session_id"] for entry in body["sessions"]}
        after = body["next"]
        if after is None:
            return found
