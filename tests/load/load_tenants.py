"""A tenant far beyond its share, and what another one waits for the answers to its few calls."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from inkling.key_file import add_key

from ..api.raw import form
from .server import serving

Drawings = dict[str, list[bytes]]
QUERIES, PAUSE_SECONDS = 200, 0.05
GREEDY_CLIENTS = 16
FACTOR, SPARE_MS = 3, 50
Call = Callable[[httpx.Client], httpx.Response]


def client(url: str, key: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, timeout=120, trust_env=False, headers=headers)


def posted(path: str, kind: bytes, body: bytes) -> Call:
    headers = {"Content-Type": kind.decode()}
    return lambda http: http.post(path, content=body, headers=headers)


def session_of(http: httpx.Client, drawings: Drawings) -> str:
    names = sorted(drawings)[:5]
    made = posted("/adapt", *form([(name, drawings[name][0]) for name in names]))(http)
    return str(made.json()["session_id"])


def greedy_calls(http: httpx.Client, drawings: Drawings) -> dict[str, Call]:
    """Calls of one kind each: small ones, very long ones, and ones of many pieces."""
    names = sorted(drawings)
    query = form([("image", drawings[names[0]][1])], session_id=session_of(http, drawings))
    many = [
        (name, content)
        for name, content in itertools.islice(
            itertools.cycle([(n, c) for n in names for c in drawings[n]]), 1000
        )
    ]
    fifty = [(name, content) for name in names[:5] for content in drawings[name][:10]]
    return {
        "small predicts": posted("/predict", *query),
        "adapts of 1000 images": posted("/adapt", *form(many)),
        "reports": posted("/adapt", *form(fifty, report="true")),
    }


def waits(http: httpx.Client, call: Call) -> list[float]:
    """Milliseconds of a few calls, sorted."""
    spent = []
    for _ in range(QUERIES):
        began = time.perf_counter()
        response = call(http)
        spent.append(1000 * (time.perf_counter() - began))
        assert response.status_code == 200, response.text
        time.sleep(PAUSE_SECONDS)
    return sorted(spent)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    folder = tmp_path_factory.mktemp("tenants")
    keys: Path = folder / "keys"
    greedy, modest = add_key(keys, "greedy"), add_key(keys, "modest")
    with serving(folder / "state", INITIALIZATIONS="omniglot", API_KEYS_FILE=keys) as running:
        yield running.url, greedy, modest


@pytest.mark.parametrize("kind", ["small predicts", "adapts of 1000 images", "reports"])
def test_another_tenant_hardly_waits(
    keyed: tuple[str, str, str], drawings: Drawings, kind: str
) -> None:
    url, greedy, modest = keyed
    ended, answers = threading.Event(), itertools.count()
    with client(url, modest) as own, client(url, greedy) as first:
        names = sorted(drawings)
        query = form([("image", drawings[names[0]][1])], session_id=session_of(own, drawings))
        mine, theirs = posted("/predict", *query), greedy_calls(first, drawings)[kind]
        alone = waits(own, mine)

        def go_on() -> None:
            with client(url, greedy) as http:
                while not ended.is_set():
                    theirs(http)
                    next(answers)

        crowd = [threading.Thread(target=go_on) for _ in range(GREEDY_CLIENTS)]
        for thread in crowd:
            thread.start()
        try:
            beside = waits(own, mine)
        finally:
            ended.set()
            for thread in crowd:
                thread.join()
    place = int(0.99 * QUERIES) - 1
    print(
        f"\n{kind}: p50 {alone[QUERIES // 2]:.1f} -> {beside[QUERIES // 2]:.1f} ms, p99 "
        f"{alone[place]:.1f} -> {beside[place]:.1f} ms; the other had {next(answers)} answers"
    )
    assert beside[place] <= FACTOR * alone[place] + SPARE_MS
