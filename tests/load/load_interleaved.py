"""Many sessions, asked by many clients in turn, each answer as if its session were alone."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from .server import serving
from .traffic import adapt, answer, draw_task, same

SESSIONS, CLIENTS, CALLS = 64, 16, 100


def test_every_answer_is_that_of_its_own_session(
    tmp_path: Path, drawings: dict[str, list[bytes]]
) -> None:
    tasks = [draw_task(drawings, number, n_way=2 + number % 7) for number in range(SESSIONS)]
    with serving(tmp_path) as server:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
            alone = []
            for task in tasks:
                session_id = adapt(http, task).json()["session_id"]
                alone.append(answer(http, session_id, task))

        def talk(client: int) -> int:
            chooser = random.Random(client)
            with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as http:
                own = [number for number in range(SESSIONS) if number % CLIENTS == client]
                made = {n: adapt(http, tasks[n]).json()["session_id"] for n in own}
                for _ in range(CALLS):
                    number = chooser.choice(own)
                    assert same(answer(http, made[number], tasks[number]), alone[number])
            return CALLS

        with ThreadPoolExecutor(CLIENTS) as pool:
            calls = sum(pool.map(talk, range(CLIENTS)))
    print(f"\n{calls} predictions of {SESSIONS} sessions by {CLIENTS} clients, all as when alone")
