"""A rolling upgrade of the initialization: at no moment does a call meet a server without it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import pytest
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

from ..load.traffic import Task, answer, same
from .proxy import Proxy
from .replicas import Replica, replica

Served = Callable[[], AbstractContextManager[Replica]]


@pytest.fixture
def steps(proxy: Proxy, checkpoint: Checkpoint, tmp_path: Path) -> tuple[Served, ...]:
    """Servers as they are before, after the first, the second and the third rollout."""
    new = tmp_path / "new"
    changed = checkpoint.config.model_copy(update={"calibration": None})
    save_checkpoint(new, changed, checkpoint.initialization)

    def served(*initializations: str, default: str | None = None) -> Served:
        return lambda: replica(
            proxy.url, initializations=initializations, default_initialization=default
        )

    return (
        served("omniglot"),
        served("omniglot", f"after={new}", default="omniglot"),
        served("before=omniglot", f"omniglot={new}", default="omniglot"),
        served(f"omniglot={new}"),
    )


def test_servers_of_two_steps_serve_each_others_sessions(
    steps: tuple[Served, ...], task: Task, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    new = load_checkpoint(tmp_path / "new").identity
    learned_from = []
    for before, after in pairwise(steps):
        with before() as old, after() as young:
            for maker, other in ((old, young), (young, old)):
                made = maker.adapt(task).json()
                learned_from.append(made["initialization"]["identity"])
                session_id = made["session_id"]
                assert same(
                    answer(other.http, session_id, task), answer(maker.http, session_id, task)
                )
                added = other.http.post(f"/sessions/{session_id}/support", files=task.support[:1])
                assert added.json()["initialization"]["identity"] == learned_from[-1]
    assert learned_from == [checkpoint.identity] * 3 + [new] * 3


def test_dropping_the_old_one_too_early_is_told_and_mended(
    steps: tuple[Served, ...], task: Task
) -> None:
    *_, before, last = steps
    with steps[0]() as old:
        session_id = old.adapt(task).json()["session_id"]
    with before() as both, last() as young:
        assert both.predict(session_id, task).status_code == 200
        refused = young.predict(session_id, task)
        assert refused.status_code == 409
        assert refused.json()["type"] == "/problems/initialization-not-loaded"
        assert both.predict(session_id, task).status_code == 200
