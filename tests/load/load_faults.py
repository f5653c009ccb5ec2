"""A server under load whose disk, files, process or clock fail.

Nothing that it has acknowledged is lost without `/readyz` saying so within half a minute, deleting
works, and it goes on without hands once the fault is over.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from inkling.sessions.connections import DATABASE

from .disks import fill, read_only, small_disk
from .server import ServerProcess
from .traffic import adapt, answer, draw_task, same

CLIENTS, TASKS = 2, 4
TOLD_SECONDS, HEALED_SECONDS = 30.0, 60.0
TERMINATIONS = 5
DISK_BYTES = 96 * 2**20


class Load:
    """Clients that make sessions all the time, and one that asks `/readyz`."""

    def __init__(self, url: str, drawings: dict[str, list[bytes]]) -> None:
        self.url = url
        self.tasks = [draw_task(drawings, number, n_way=2, n_shot=1) for number in range(TASKS)]
        self.made: dict[str, int] = {}
        """Numbers of tasks by the ids of sessions that were acknowledged and not deleted."""
        self.refusals: list[str] = []
        self.told: list[str] = []
        """What `/readyz` said while it was not ready."""
        self.last_made_at = 0.0
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        with self.http() as http:
            ids = [adapt(http, task, steps=0).json()["session_id"] for task in self.tasks]
            self.reference = [answer(http, *each) for each in zip(ids, self.tasks, strict=True)]
            self.made.update(zip(ids, range(TASKS), strict=True))

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def __enter__(self) -> Load:
        self._ending.clear()
        self._pool = ThreadPoolExecutor(CLIENTS + 1)
        self._running = [self._pool.submit(self._make) for _ in range(CLIENTS)]
        self._running.append(self._pool.submit(self._watch))
        return self

    def __exit__(self, *_: object) -> None:
        assert self._pool is not None
        self._ending.set()
        self._pool.shutdown()
        for each in self._running:
            each.result()

    def _make(self) -> None:
        with self.http() as http:
            while not self._ending.is_set():
                number = next(self._numbers) % TASKS
                try:
                    response = adapt(http, self.tasks[number], steps=0)
                except httpx.TransportError:
                    self._ending.wait(0.1)
                    continue
                with self._lock:
                    if response.status_code == 201:
                        self.made[response.json()["session_id"]] = number
                        self.last_made_at = time.monotonic()
                    else:
                        assert response.status_code == 503, response.text
                        self.refusals.append(response.json()["detail"])
                if response.status_code == 503:
                    self._ending.wait(0.1)

    def _watch(self) -> None:
        with self.http() as http:
            while not self._ending.wait(0.25):
                with contextlib.suppress(httpx.TransportError):
                    response = http.get("/readyz")
                    if response.status_code == 503:
                        self.told.append(response.json()["detail"])

    def delete(self, count: int) -> None:
        """Delete some sessions, every one of them."""
        with self.http() as http:
            for session_id in list(self.made)[:count]:
                response = http.delete(f"/sessions/{session_id}")
                assert response.status_code == 204, response.text
                del self.made[session_id]

    def lost(self, sample: int | None = None) -> int:
        """How many of the acknowledged sessions are not there; those that are answer right."""
        ids = list(self.made) if sample is None else random.Random(0).sample([*self.made], sample)
        missing = 0
        with self.http() as http:
            for session_id in ids:
                if http.get(f"/sessions/{session_id}").status_code == 404:
                    missing += 1
                    continue
                number = self.made[session_id]
                found = answer(http, session_id, self.tasks[number])
                assert same(found, self.reference[number])
        return missing

    def ready(self) -> bool:
        with self.http() as http:
            return http.get("/readyz").status_code == 200


def waited(until: Callable[[], bool], most: float) -> float:
    """Wait for something; how long that took."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < most
        time.sleep(0.1)
    return time.monotonic() - began


def goes_on(load: Load) -> float:
    """Wait until sessions are made again and the server is ready; how long that took."""
    began = time.monotonic()
    waited(lambda: load.last_made_at > began and load.ready(), HEALED_SECONDS)
    return time.monotonic() - began


def new_sessions(load: Load, count: int) -> None:
    waited(lambda: len(load.made) >= count, HEALED_SECONDS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    made = ServerProcess(tmp_path / "state", INITIALIZATIONS="omniglot", WORKERS=1)
    made.start()
    yield made
    made.stop()


def test_a_disk_that_another_program_fills_at_once(
    tmp_path: Path, drawings: dict[str, list[bytes]]
) -> None:
    with small_disk(tmp_path / "disk", DISK_BYTES) as disk:
        server = ServerProcess(disk / "state", INITIALIZATIONS="omniglot", WORKERS=1)
        server.start()
        try:
            load = Load(server.url, drawings)
            with load:
                new_sessions(load, 100)
                fill(disk / "others")
                waited(lambda: len(load.refusals) > 10, TOLD_SECONDS)
                load.delete(40)
                fill(disk / "more")
                load.delete(10)
                server.kill()
                fill(disk / "still more")
                server.start()
                assert load.lost(20) == 0
                load.delete(10)
                for name in ("others", "more", "still more"):
                    (disk / name).unlink()
                seconds = goes_on(load)
            lost = load.lost()
        finally:
            server.stop()
    print(
        f"\na disk filled by another program, a kill and a start on it: {len(load.made)} sessions, "
        f"{lost} lost; 60 deleted meanwhile; new ones {seconds:.1f} s after there was room"
    )
    assert lost == 0


def test_a_disk_that_sessions_fill(tmp_path: Path, drawings: dict[str, list[bytes]]) -> None:
    with small_disk(tmp_path / "disk", DISK_BYTES) as disk:
        server = ServerProcess(disk / "state", INITIALIZATIONS="omniglot", WORKERS=1)
        server.start()
        try:
            load = Load(server.url, drawings)
            with load:
                waited(lambda: len(load.refusals) > 10, 300)
                held = len(load.made)
                assert load.lost(20) == 0
                load.delete(held // 2)
                seconds = goes_on(load)
            lost = load.lost()
        finally:
            server.stop()
    print(
        f"\na disk of {DISK_BYTES // 2**20} MiB filled by {held} sessions: {lost} lost; new ones "
        f"{seconds:.1f} s after half of them were deleted"
    )
    assert lost == 0


@pytest.mark.parametrize("what", ["file", "folder", "log"])
def test_a_database_that_is_removed(
    tmp_path: Path, server: ServerProcess, drawings: dict[str, list[bytes]], what: str
) -> None:
    folder = tmp_path / "state"
    load = Load(server.url, drawings)
    with load:
        new_sessions(load, 100)
        if what == "folder":
            folder.rename(tmp_path / "elsewhere")
        else:
            (folder / (DATABASE if what == "file" else f"{DATABASE}-wal")).unlink()
        seconds = goes_on(load)
        new_sessions(load, len(load.made) + 50)
    server.kill()
    server.start()
    lost = load.lost()
    print(
        f"\n{what} removed: {len(load.made)} sessions, {lost} lost after a kill; new ones and "
        f"ready after {seconds:.1f} s; refused meanwhile: {len(load.refusals)}"
    )
    assert lost == 0


def test_a_database_that_is_replaced(
    tmp_path: Path, server: ServerProcess, drawings: dict[str, list[bytes]]
) -> None:
    path = tmp_path / "state" / DATABASE
    load = Load(server.url, drawings)
    with load:
        new_sessions(load, 50)
        path.rename(tmp_path / "first")
        path.write_bytes((tmp_path / "first").read_bytes())
        told = waited(lambda: any("another file" in each for each in load.told), TOLD_SECONDS)
        made = len(load.made)
        waited(lambda: len(load.refusals) > 10, TOLD_SECONDS)
        assert len(load.made) <= made + CLIENTS
        path.unlink()
        seconds = goes_on(load)
    server.kill()
    server.start()
    lost = load.lost()
    print(
        f"\nanother file in its place: told after {told:.1f} s; {seconds:.1f} s after that was "
        f"taken away it went on; {len(load.made)} sessions, {lost} lost"
    )
    assert lost == 0


def test_a_database_that_is_damaged(
    tmp_path: Path, server: ServerProcess, drawings: dict[str, list[bytes]]
) -> None:
    path = tmp_path / "state" / DATABASE
    load = Load(server.url, drawings)
    with load:
        new_sessions(load, 200)
        waited(lambda: path.stat().st_size > 2**21, 60)
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(random.Random(0).randbytes(2**18))
        told = waited(lambda: any("are lost" in each for each in load.told), TOLD_SECONDS)
        seconds = goes_on(load)
    lost = load.lost()
    said = next(each for each in load.told if "are lost" in each)
    print(
        f"\n256 KiB of the database overwritten: told after {told:.1f} s ({said!r}); of "
        f"{len(load.made)} sessions {lost} lost; ready again after {seconds:.1f} s"
    )
    assert f"{lost:,} sessions" in said


def test_a_database_that_becomes_read_only(
    tmp_path: Path, server: ServerProcess, drawings: dict[str, list[bytes]]
) -> None:
    load = Load(server.url, drawings)
    with load:
        new_sessions(load, 50)
        with read_only(tmp_path / "state"):
            told = waited(lambda: any("read-only" in each for each in load.told), TOLD_SECONDS)
            assert load.lost(10) == 0
        seconds = goes_on(load)
    lost = load.lost()
    print(
        f"\nread-only: told after {told:.1f} s; {seconds:.1f} s after it was writable it went on; "
        f"{len(load.made)} sessions, {lost} lost"
    )
    assert lost == 0


def test_terminations_under_load(server: ServerProcess, drawings: dict[str, list[bytes]]) -> None:
    load = Load(server.url, drawings)
    with load:
        for _ in range(TERMINATIONS):
            new_sessions(load, len(load.made) + 20)
            server.stop()
            server.start()
    lost = load.lost()
    print(f"\n{TERMINATIONS} times SIGTERM: {len(load.made)} sessions, {lost} lost")
    assert lost == 0


class ServerOnAClock(ServerProcess):
    """A server on a machine whose clock is off by the seconds in a file."""

    def __init__(self, folder: Path, offset: Path, **settings: object) -> None:
        super().__init__(folder, **settings)
        program = (
            "import pathlib, sys, time\n"
            f"offset, right = pathlib.Path({str(offset)!r}), time.time\n"
            "time.time = lambda: right() + float(offset.read_text())\n"
            "sys.argv = ['inkling', 'serve']\n"
            "from inkling.cli.app import main\n"
            "main()\n"
        )
        self.command = (sys.executable, "-c", program)


def test_a_clock_that_steps(tmp_path: Path, drawings: dict[str, list[bytes]]) -> None:
    day = 86_400.0
    offset = tmp_path / "offset"

    def step(seconds: float) -> None:
        partial = offset.with_suffix(".partial")
        partial.write_text(str(seconds))
        partial.replace(offset)

    step(0)
    server = ServerOnAClock(tmp_path / "state", offset, INITIALIZATIONS="omniglot", WORKERS=1)
    server.start()
    try:
        load = Load(server.url, drawings)
        with load:
            for seconds in (-3 * day, 30 * day, -20_000 * day, 25_000 * day, 0):
                step(seconds)
                new_sessions(load, len(load.made) + 20)
                time.sleep(2)  # for sweeps, which would delete what seems to have ended
                assert load.lost(20) == 0
                server.kill()
                server.start()
                new_sessions(load, len(load.made) + 20)
                time.sleep(2)
        lost = load.lost()
    finally:
        server.stop()
    print(
        f"\na clock that stepped by days and decades, while a server ran and between: "
        f"{len(load.made)} sessions, {lost} lost"
    )
    assert lost == 0
