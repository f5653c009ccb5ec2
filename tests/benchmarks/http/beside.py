"""Two trees' servers beside each other, over HTTP: is this tree slower than that one?

    python -m tests.benchmarks.http.beside --before TREE --limit 1.05

Both servers are started as users start them, each with its tree's environment and package, and
held still while the other one is measured. This tree's load generator drives both, after the
probabilities that each of them answers were compared with those of `inkling.meta`.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

import torch

from ..comparison import SIDES, Comparison, Side, add_arguments, conclude, order_of
from .contenders import CASES, Case, inkling
from .measure import CHECKED, SESSIONS, Entry, end, prepare, started
from .same_work import expected_probabilities
from .uploads import Task, draw_tasks


def ms_an_answer(entry: Entry, case: Case) -> list[float]:
    """Milliseconds from one answer to the next, by round."""
    return [1000 / result.throughput_per_s for result in entry.results[case]]


def compare(
    entries: dict[Side, Entry], case: Case, tasks: list[Task], rounds: int, seconds: float
) -> Comparison:
    """Load both servers in turn."""
    for round_index in range(rounds):
        for side in order_of(round_index):
            entries[side].measure(case, tasks, seconds)
    before, after = (ms_an_answer(entries[side], case) for side in SIDES)
    return Comparison(case, before, after)


def measure(before: Path, after: Path, *, rounds: int, seconds: float) -> list[Comparison]:
    """Compare every case. Raises Disagreement, ServerFailed and LoadFailed."""
    tasks = draw_tasks(SESSIONS)
    expected = expected_probabilities(tasks[:CHECKED])
    contenders = [inkling(tree, name) for name, tree in zip(SIDES, (before, after), strict=True)]
    with started(contenders) as running:
        for entry in running:
            prepare(entry, tasks, expected, CASES)
        entries = dict(zip(SIDES, running, strict=True))
        return [compare(entries, case, tasks, rounds, seconds) for case in CASES]


def main() -> None:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(description="Compare the servers of two trees.")
    add_arguments(parser, rounds=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each server a round")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, end)
    torch.set_num_threads(1)
    comparisons = measure(
        given.before.resolve(), given.after.resolve(), rounds=given.rounds, seconds=given.seconds
    )
    conclude(comparisons, given.limit)


if __name__ == "__main__":
    main()
