"""A server that is killed under load, again and again, keeps every session it has answered for."""

from __future__ import annotations

import itertools
import random
import threading
from pathlib import Path

import httpx

from .server import serving
from .traffic import Task, adapt, answer, draw_task, same, session_ids

ROUNDS, CLIENTS, TASKS = 20, 4, 16


class Book:
    """What clients were told: the session of each key; and keys whose answer never came."""

    def __init__(self) -> None:
        self.sessions: dict[str, tuple[str, int]] = {}
        self.open: dict[str, int] = {}
        self.lock = threading.Lock()
        self.heard = threading.Semaphore(0)

    def note(self, key: str, number: int, response: httpx.Response) -> None:
        assert response.status_code == 201, response.text
        with self.lock:
            self.sessions[key] = (response.json()["session_id"], number)
            self.open.pop(key, None)
        self.heard.release()


def send_until_lost(url: str, book: Book, numbers: itertools.count[int], tasks: list[Task]) -> None:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        while True:
            number = next(numbers)
            key = f"key-{number}"
            with book.lock:
                book.open[key] = number
            try:
                response = adapt(http, tasks[number % TASKS], key)
            except httpx.TransportError:
                return
            book.note(key, number, response)


def test_no_session_is_lost_wrong_or_doubled_when_the_server_is_killed(
    tmp_path: Path, drawings: dict[str, list[bytes]]
) -> None:
    chooser = random.Random(0)
    tasks = [draw_task(drawings, number) for number in range(TASKS)]
    book, numbers = Book(), itertools.count()
    replayed = 0
    with serving(tmp_path) as server:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
            made = [adapt(http, task).json()["session_id"] for task in tasks]
            reference = [answer(http, each, task) for each, task in zip(made, tasks, strict=True)]
        for _ in range(ROUNDS):
            clients = [
                threading.Thread(target=send_until_lost, args=(server.url, book, numbers, tasks))
                for _ in range(CLIENTS)
            ]
            for client in clients:
                client.start()
            for _ in range(chooser.randint(5, 25)):
                assert book.heard.acquire(timeout=60)
            server.kill()
            for client in clients:
                client.join()
            server.start()
            with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
                for key, number in list(book.open.items()):
                    response = adapt(http, tasks[number % TASKS], key)
                    replayed += response.headers.get("idempotency-replayed") == "true"
                    book.note(key, number, response)
                for session_id, number in book.sessions.values():
                    found = answer(http, session_id, tasks[number % TASKS])
                    assert same(found, reference[number % TASKS])
                told = {session_id for session_id, _ in book.sessions.values()}
                assert len(told) == len(book.sessions)
                assert session_ids(http) == told | set(made)
    print(
        f"\n{ROUNDS} kills under {CLIENTS} clients: {len(book.sessions)} sessions answered for, "
        f"all there, none wrong, none doubled; {replayed} lost answers given again by their key"
    )
