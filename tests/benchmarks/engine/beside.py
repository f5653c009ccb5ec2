"""Two trees' engines beside each other: is this tree slower than that one?

    python -m tests.benchmarks.engine.beside --before TREE --limit 1.05

Each tree's engine runs in a process of its own, with that tree's environment, package and
benchmark code; only questions and figures pass between the processes, as JSON. Before a case is
timed, the probabilities of both trees are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..comparison import SIDES, Comparison, Side, add_arguments, conclude, order_of, python_of
from ..http.same_work import TOLERANCE, Disagreement
from .cases import MODELS
from .measure import CASES, SECONDS_A_TURN

JOBS = ("adapt", "predict 1")

SERVE = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
from tests.benchmarks.engine import contestants
# Older trees have it under a private name.
kind = getattr(contestants, "Answering", None) or contestants._Answering
answering = kind("inkling", contestants.Trees(None, None))
for line in sys.stdin:
    what, arguments = json.loads(line)
    try:
        result = getattr(answering, what)(*arguments)
        answer = {"result": result.tolist() if hasattr(result, "tolist") else result}
    except Exception as failure:
        answer = {"failure": f"{type(failure).__name__}: {failure}"}
    print(json.dumps(answer), file=answers, flush=True)
"""
"""Runs in the root of a tree; what else that tree prints goes to the standard error."""


class TreeFailed(Exception):
    """A tree whose benchmark code ended or raised."""


class TreeEngine:
    """The engine of one tree, in a process of its own."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._process = subprocess.Popen(
            [str(python_of(tree)), "-W", "ignore", "-c", SERVE],
            cwd=tree,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: str, *arguments: Any) -> Any:
        """Call a method of the tree's `contestants.Answering`. Raises TreeFailed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps((what, arguments)) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"failure": "its process ended"}
        if "failure" in answer:
            raise TreeFailed(f"{self._tree}: {what}{arguments}: {answer['failure']}")
        return answer["result"]

    def median_ms(self, model: str, shot: int, job: str) -> float:
        """Milliseconds a call, over the calls of one round."""
        (first,) = self.ask("seconds", model, shot, job, 1, 1)
        times = max(2, min(100, int(SECONDS_A_TURN / first)))
        return 1000 * float(statistics.median(self.ask("seconds", model, shot, job, 1, times)))

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def running(before: Path, after: Path) -> Iterator[Mapping[Side, TreeEngine]]:
    """An engine for each tree; they are stopped at the end."""
    engines = {side: TreeEngine(tree) for side, tree in zip(SIDES, (before, after), strict=True)}
    try:
        yield engines
    finally:
        for engine in engines.values():
            engine.stop()


def check(engines: Mapping[Side, TreeEngine], model: str, shot: int) -> None:
    """Compare what both trees predict. Raises Disagreement."""
    rows = zip(*(engines[side].ask("scores", model, shot) for side in SIDES), strict=True)
    apart = max(abs(p - q) for before, after in rows for p, q in zip(before, after, strict=True))
    if not apart <= TOLERANCE:
        raise Disagreement(f"the trees are {apart:.1e} apart on {model}, {shot} shots")


def compare(
    engines: Mapping[Side, TreeEngine], model: str, shot: int, job: str, rounds: int
) -> Comparison:
    """Time both trees in turn."""
    took: dict[Side, list[float]] = {side: [] for side in SIDES}
    for round_index in range(rounds):
        for side in order_of(round_index):
            took[side].append(engines[side].median_ms(model, shot, job))
    return Comparison(f"{model}, {shot} shots, {job}", took["before"], took["after"])


def main() -> None:
    """Compare every case, and print a table."""
    parser = argparse.ArgumentParser(description="Compare the engines of two trees.")
    add_arguments(parser, rounds=7)
    parser.add_argument("--only", choices=sorted(MODELS), help="one model instead of all")
    given = parser.parse_args()
    comparisons = []
    with running(given.before.resolve(), given.after.resolve()) as engines:
        for model, shot in CASES:
            if given.only in (None, model):
                check(engines, model, shot)
                for job in JOBS:
                    comparisons.append(compare(engines, model, shot, job, given.rounds))
                    print(comparisons[-1].line(), file=sys.stderr, flush=True)
    conclude(comparisons, given.limit)


if __name__ == "__main__":
    main()
