"""Inkling's engine beside plain PyTorch, learn2learn, higher and the bare kernels.

    python -m tests.benchmarks.engine.measure --learn2learn TREE --higher TREE --json FILE

Every contestant has a process of its own. Rounds go A B C A B C, and a figure is the median of
all rounds. The first round has every number of threads; later ones only the one that was best
for a contestant in this case.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..http.processes import busy_neighbour
from ..http.same_work import TOLERANCE, Disagreement
from ..rows import write_rows
from .cases import MODELS, adapting_flops, case_of
from .contestants import CORES, Job, Remote, Setting, Trees, names

CASES = [("default", 1), ("default", 5), ("conv4-64-28", 1), ("conv4-64-28", 5),
         ("conv4-32-84", 1), ("conv4-32-84", 5), ("anil-64-28", 5), ("resnet12-28", 1)]  # fmt: skip
JOBS: Sequence[Job] = ("adapt", "predict 1", "predict 32")
CALLERS = (1, 4, 16, 64)
SECONDS_A_TURN = 0.4
"""About how long a contestant is timed before the next one has its turn."""


@dataclass(frozen=True)
class Row:
    """A figure. ``gflops`` counts convolutions alone; ``peak`` is its share of the measured one."""

    case: str
    job: str
    contestant: str
    threads: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    gflops: float | None = None
    peak: float | None = None
    session_bytes: int | None = None
    callers: int = 1
    per_second: float | None = None


@contextlib.contextmanager
def running(trees: Trees, *, compiled: bool = False) -> Iterator[dict[str, Remote]]:
    """A process for each contestant."""
    remotes = {name: Remote(name, trees) for name in names(trees, compiled=compiled)}
    try:
        yield remotes
    finally:
        for remote in remotes.values():
            remote.stop()


def check(remotes: dict[str, Remote], model: str, shot: int) -> None:
    """Compare what contestants predict. Raises Disagreement."""
    expected = remotes["inkling-eager"].ask("scores", model, shot)
    for name, remote in remotes.items():
        apart = float((remote.ask("scores", model, shot) - expected).abs().max())
        if not apart <= TOLERANCE:
            raise Disagreement(f"{name} is {apart:.1e} apart from the definition on {model}")


def timed(
    remotes: dict[str, Remote], model: str, shot: int, job: Job, rounds: int
) -> dict[Setting, list[float]]:
    """Seconds by contestant, each at its best number of threads."""
    settings = [
        Setting(name, threads)
        for name in remotes
        for threads in ((1,) if name == "inkling" else range(1, CORES + 1))
    ]
    found: dict[Setting, list[float]] = {}
    for number in range(rounds):
        for setting in settings:
            remote = remotes[setting.contestant]
            (first,) = remote.ask("seconds", model, shot, job, setting.threads, 1)
            times = max(2, min(100, int(SECONDS_A_TURN / first)))
            took = remote.ask("seconds", model, shot, job, setting.threads, times)
            found.setdefault(setting, []).extend(took)
        if number == 0:
            best = {
                name: min(
                    (s for s in settings if s.contestant == name),
                    key=lambda s: statistics.median(found[s]),
                )
                for name in remotes
            }
            settings = list(best.values())
    return {setting: found[setting] for setting in settings}


def floor(remotes: dict[str, Remote], model: str, shot: int) -> tuple[int, list[float]]:
    """The kernels alone at their best number of threads."""
    took = {
        threads: remotes["inkling-eager"].ask("kernels", model, shot, threads, 15)
        for threads in range(1, CORES + 1)
    }
    best = min(took, key=lambda threads: statistics.median(took[threads]))
    return best, took[best]


def row(case: str, job: str, contestant: str, threads: int, seconds: Sequence[float]) -> Row:
    """Quantiles of times."""
    ordered = sorted(seconds)
    p50, p95, p99 = (
        1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        for share in (0.5, 0.95, 0.99)
    )
    return Row(case, job, contestant, threads, p50, p95, p99)


def measured_peak(remote: Remote) -> float:
    """The most operations a second of all libraries at hand, each with 1 to all cores."""
    rates: dict[tuple[str, int], float] = {}
    for threads in range(1, CORES + 1):
        for library, rate in remote.ask("peaks", threads, 10).items():
            rates[library, threads] = rate
            print(f"{library} ({threads}): {rate / 1e9:.0f} GFLOP/s", file=sys.stderr)
    (library, threads), most = max(rates.items(), key=lambda entry: entry[1])
    print(f"measured peak: {most / 1e9:.0f} GFLOP/s, {library} ({threads})", file=sys.stderr)
    return most


def measure_latency(
    remotes: dict[str, Remote], cases: Sequence[tuple[str, int]], rounds: int
) -> list[Row]:
    """One call at a time."""
    most = measured_peak(remotes["inkling-eager"])
    rows = []
    for model, shot in cases:
        case = case_of(model, shot)
        # These libraries take a gradient by all that a module holds.
        present = {
            name: remote
            for name, remote in remotes.items()
            if adapting_flops(case) or name not in ("learn2learn", "higher")
        }
        check(present, model, shot)
        for job in JOBS:
            found = [
                row(case.name, job, setting.contestant, setting.threads, seconds)
                for setting, seconds in timed(present, model, shot, job, rounds).items()
            ]
            flops = adapting_flops(case) if job == "adapt" else None
            if flops is not None:
                threads, seconds = floor(remotes, model, shot)
                found.append(row(case.name, job, "kernels alone", threads, seconds))
            for each in found:
                told = asdict(each)
                if flops is not None:
                    told["gflops"] = flops / each.p50_ms / 1e6
                    told["peak"] = flops / each.p50_ms / most * 1e3
                if job == "adapt" and each.contestant in present:
                    told["session_bytes"] = present[each.contestant].ask(
                        "session_bytes", model, shot
                    )
                rows.append(Row(**told))
                print(_line(rows[-1]), file=sys.stderr)
    return rows


def measure_throughput(
    remotes: dict[str, Remote], cases: Sequence[tuple[str, int]], rounds: int, seconds: float
) -> list[Row]:
    """The whole machine, asked by several callers at once; the opponent is plain PyTorch."""
    rows = []
    for model, shot in cases:
        for job in ("adapt", "predict 1"):
            for callers in CALLERS:
                found: dict[Setting, list[float]] = {}
                for _ in range(rounds):
                    for name in ("inkling", "plain", "plain-channels-last"):
                        for threads in (1,) if name == "inkling" else range(1, CORES + 1):
                            found.setdefault(Setting(name, threads), []).append(
                                remotes[name].ask(
                                    "per_second", model, shot, job, threads, callers, seconds
                                )
                            )
                for setting, rates in found.items():
                    rate = statistics.median(rates)
                    milliseconds = 1000 * callers / rate
                    rows.append(
                        Row(
                            case_of(model, shot).name,
                            job,
                            setting.contestant,
                            setting.threads,
                            milliseconds,
                            milliseconds,
                            milliseconds,
                            callers=callers,
                            per_second=rate,
                        )
                    )
                    print(_line(rows[-1]), file=sys.stderr)
    return rows


def _line(found: Row) -> str:
    rate = "" if found.per_second is None else f", {found.callers} at once {found.per_second:.0f}/s"
    share = "" if found.peak is None else f", {found.gflops:.0f} GFLOP/s, {found.peak:.0%} of peak"
    return (
        f"{found.case}, {found.job}, {found.contestant} ({found.threads}): "
        f"{found.p50_ms:.2f} ms{share}{rate}"
    )


def main() -> None:
    """Measure, and write the rows as JSON."""
    parser = argparse.ArgumentParser(description="Measure the engine and others.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--learn2learn", type=Path, help="its source tree; skipped without")
    parser.add_argument("--higher", type=Path, help="its source tree; skipped without")
    parser.add_argument(
        "--compiled", action="store_true", help="torch.compile, too: minutes a case"
    )
    parser.add_argument("--json", type=Path, help="where the rows go; else to standard output")
    parser.add_argument("--only", choices=sorted(MODELS), help="one model instead of all")
    parser.add_argument("--busy", action="store_true", help="beside a process that never sleeps")
    parser.add_argument("--throughput", action="store_true", help="several callers at once, too")
    given = parser.parse_args()
    for library in ("learn2learn", "higher"):
        if getattr(given, library) is None:
            print(f"SKIPPED {library}: no source tree was given", file=sys.stderr)
    cases = [case for case in CASES if given.only in (None, case[0])]
    with contextlib.ExitStack() as stack:
        remotes = stack.enter_context(
            running(Trees(given.learn2learn, given.higher), compiled=given.compiled)
        )
        if given.busy:
            stack.enter_context(busy_neighbour())
        rows = measure_latency(remotes, cases, given.rounds)
        if given.throughput:
            rows += measure_throughput(remotes, cases[:1], given.rounds, 1.0)
    write_rows(rows, given.json)


if __name__ == "__main__":
    main()
