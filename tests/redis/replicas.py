"""Servers over one Redis, and what their clients see."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings

from ..load.traffic import Task, adapt

UNCONFIRMED = "session_unconfirmed"


@dataclass(frozen=True)
class Replica:
    """A server, by a client of it."""

    http: httpx.Client

    def adapt(self, task: Task, **options: Any) -> httpx.Response:
        return adapt(self.http, task, **options)

    def predict(self, session_id: str, task: Task) -> httpx.Response:
        return self.http.post(
            "/predict",
            data={"session_id": session_id},
            files=[("image", ("drawing.png", task.query))],
        )

    def warnings(self, session_id: str, task: Task) -> list[str]:
        """The codes of what a prediction warns of."""
        answer = self.predict(session_id, task)
        assert answer.status_code == 200, answer.text
        return [warning["code"] for warning in answer.json()["warnings"]]

    def ready(self) -> bool:
        return self.http.get("/readyz").status_code == 200

    def unready(self) -> str:
        """Why it is not ready; "" where it is."""
        answer = self.http.get("/readyz")
        return "" if answer.status_code == 200 else str(answer.json()["detail"])


@contextlib.contextmanager
def replica(url: str, **settings: Any) -> Iterator[Replica]:
    """A server over a Redis."""
    chosen = {"session_store": "redis", "redis_url": url, "initializations": ("omniglot",)}
    with (
        local_server(create_app(Settings(workers=1, **(chosen | settings)))) as address,
        httpx.Client(base_url=address, timeout=20, trust_env=False) as http,
    ):
        yield Replica(http)


def soon(holds: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not hold in time"
        time.sleep(0.05)
