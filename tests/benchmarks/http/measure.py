"""Inkling over HTTP beside the opponents, in interleaved rounds on the same machine.

    python -m tests.benchmarks.http.measure --rounds 3 --seconds 3 --json FILE

All servers are started beforehand and held still while another one is measured. Rounds go A B C
A B C, and a row has the medians over its rounds, so that what else the machine does falls on all
alike. The first round has all settings; later ones leave out those that reached less than half
of the throughput of the best setting of the same opponent.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..rows import write_rows
from .contenders import CASES, Case, Contender, contenders, why_skipped
from .load_generator import LoadPlan, LoadResult, run_load
from .processes import HOST, Server, busy_neighbour
from .same_work import check, expected_probabilities
from .uploads import Task, draw_tasks

SESSIONS, CLIENTS = 64, 16
LEFT_BEHIND = 0.5
NO_SESSION = "0" * 32
WARMUP = 1
"""Requests of each client before the clock starts."""
HOPELESS, TRIALS = 4.0, 6
"""A setting whose quickest of so many adaptations alone takes so many times what the best setting
of the same opponent takes is left out: torch's threads wait for each other that long on a machine
that has other work."""
CHECKED = 8
"""Predictions of each contender that are compared with the right ones."""


@dataclass(frozen=True)
class Row:
    """One contender in one case: medians over its rounds, or why there are none."""

    case: Case
    contender: str
    setting: str
    throughput_per_s: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    rounds: int = 0
    skipped: str | None = None


@dataclass
class Entry:
    """A contender whose server runs, with a session for each task if it can have them."""

    contender: Contender
    server: Server
    sessions: list[str] = field(default_factory=list)
    results: dict[Case, list[LoadResult]] = field(default_factory=lambda: defaultdict(list))

    def requests(self, case: Case, tasks: Sequence[Task]) -> list[list[bytes]]:
        """What each client sends, again and again."""
        dialect = self.contender.dialect
        if case == "adapt":
            requests = [dialect.adapt(task) for task in tasks]
        else:
            sessions = self.sessions or len(tasks) * [NO_SESSION]
            pairs = zip(sessions, tasks, strict=True)
            requests = [dialect.predict(session_id, task.query) for session_id, task in pairs]
        clients = 1 if case == "predict_one" else CLIENTS
        return [requests[client::clients] for client in range(clients)]

    def measure(self, case: Case, tasks: Sequence[Task], seconds: float) -> None:
        """One more round of a case. Raises LoadFailed if any answer is not 2xx."""
        requests = self.requests(case, tasks)
        plan = LoadPlan(HOST, self.server.port, requests, WARMUP * len(requests), seconds)
        with self.server.awake():
            result = run_load(plan)
        self.results[case].append(result)
        print(
            f"{case}, {self.contender.name}, {self.contender.setting}: "
            f"{result.throughput_per_s:.1f}/s, p50 {result.p50_ms:.2f} ms",
            file=sys.stderr,
        )

    def key(self) -> tuple[str, str]:
        """Which contender, in which setting."""
        return self.contender.name, self.contender.setting

    def seconds_alone(self, task: Task) -> float:
        """The quickest of a few adaptations, one at a time."""
        took = []
        with self.server.awake():
            for _ in range(TRIALS):
                began = time.perf_counter()
                self.server.send(self.contender.dialect.adapt(task))
                took.append(time.perf_counter() - began)
        return min(took)

    def row(self, case: Case) -> Row:
        """The medians of a case."""
        results = self.results[case]
        return Row(
            case,
            self.contender.name,
            self.contender.setting,
            statistics.median(result.throughput_per_s for result in results),
            statistics.median(result.p50_ms for result in results),
            statistics.median(result.p95_ms for result in results),
            statistics.median(result.p99_ms for result in results),
            len(results),
        )


def measure(
    *, rounds: int, seconds: float, cases: Sequence[Case] = CASES, busy: bool = False
) -> list[Row]:
    """Measure every contender in the cases, ``seconds`` a round.

    With ``busy`` one other process computes all the while. Raises Disagreement, ServerFailed and
    LoadFailed.
    """
    tasks = draw_tasks(SESSIONS if "predict_many" in cases else CLIENTS)
    expected = expected_probabilities(tasks[:CHECKED])
    chosen = [each for each in contenders() if set(each.cases) & set(cases)]
    rows: list[Row] = []
    with contextlib.ExitStack() as running:
        entries = running.enter_context(started([c for c in chosen if why_skipped(c) is None]))
        hopeless = _hopeless(entries, tasks[0])
        rows += [
            Row(case, name, setting, skipped=reason)
            for (name, setting), reason in hopeless.items()
            for case in cases
        ]
        entries = [entry for entry in entries if entry.key() not in hopeless]
        for entry in entries:
            prepare(entry, tasks, expected, cases)
        if busy:
            running.enter_context(busy_neighbour())
        for case in cases:
            taking_part = [entry for entry in entries if case in entry.contender.cases]
            for _ in range(rounds):
                for entry in _in_the_race(taking_part, case):
                    entry.measure(case, tasks, seconds)
            rows += [entry.row(case) for entry in taking_part]
            rows += [
                Row(case, each.name, each.setting, skipped=reason)
                for each in chosen
                if case in each.cases and (reason := why_skipped(each)) is not None
            ]
    return rows


@contextlib.contextmanager
def started(chosen: Sequence[Contender]) -> Iterator[list[Entry]]:
    """Servers of contenders, started side by side, then held still; stopped at the end."""
    entries: list[Entry] = []
    with contextlib.ExitStack() as stopping:
        folders = Path(stopping.enter_context(tempfile.TemporaryDirectory()))
        for number, contender in enumerate(chosen):
            folder = folders / str(number)
            folder.mkdir()
            server = contender.launch.start(folder)
            stopping.callback(server.stop)
            entries.append(Entry(contender, server))
        for entry in entries:
            entry.server.wait()
        for entry in entries:
            entry.server.hold()
        yield entries


def prepare(
    entry: Entry,
    tasks: Sequence[Task],
    expected: Sequence[Mapping[str, float]],
    cases: Sequence[Case],
) -> None:
    """Make the sessions and check every answer over HTTP. Raises Disagreement."""
    predicted = set(cases) & set(entry.contender.cases) - {"adapt"}
    if entry.contender.empty or not predicted:
        return
    dialect = entry.contender.dialect
    with entry.server.awake():
        for task in tasks:
            made = json.loads(entry.server.send(dialect.adapt(task)))["session_id"]
            entry.sessions.append(made)
        for made, task, probabilities in zip(entry.sessions, tasks, expected, strict=False):
            found = dialect.probabilities(entry.server.send(dialect.predict(made, task.query)))
            check(f"{entry.contender.name} ({entry.contender.setting})", found, probabilities)


def _hopeless(entries: Sequence[Entry], task: Task) -> dict[tuple[str, str], str]:
    """The settings that are left out, and why."""
    alone = {e.key(): e.seconds_alone(task) for e in entries if not e.contender.empty}
    best = {
        name: min(seconds for (other, _), seconds in alone.items() if other == name)
        for name, _ in alone
    }
    return {
        (name, setting): f"an adaptation alone takes {1000 * seconds:.0f} ms, "
        f"in another setting {1000 * best[name]:.0f} ms"
        for (name, setting), seconds in alone.items()
        if seconds > HOPELESS * best[name]
    }


def _in_the_race(entries: Sequence[Entry], case: Case) -> list[Entry]:
    """All in the first round, then those that are not far behind another setting."""
    best: dict[str, float] = defaultdict(float)
    for entry in entries:
        for result in entry.results[case][:1]:
            name = entry.contender.name
            best[name] = max(best[name], result.throughput_per_s)
    return [
        entry
        for entry in entries
        if all(
            result.throughput_per_s >= LEFT_BEHIND * best[entry.contender.name]
            for result in entry.results[case][:1]
        )
    ]


def end(*_signal: object) -> None:
    """End, but only once: the servers, in groups of their own, have to be stopped before."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def main() -> None:
    """Measure, and write the rows as JSON."""
    parser = argparse.ArgumentParser(description="Measure Inkling and others over HTTP.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each contender a round")
    parser.add_argument("--json", type=Path, help="where the rows go; else to standard output")
    parser.add_argument("--only", choices=CASES, help="one case instead of all")
    parser.add_argument("--busy", action="store_true", help="beside a process that never sleeps")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, end)
    torch.set_num_threads(1)
    cases = CASES if given.only is None else (given.only,)
    rows = measure(rounds=given.rounds, seconds=given.seconds, cases=cases, busy=given.busy)
    for reason in sorted({f"{row.contender}: {row.skipped}" for row in rows if row.skipped}):
        print(f"SKIPPED {reason}", file=sys.stderr)
    write_rows(rows, given.json)


if __name__ == "__main__":
    main()
