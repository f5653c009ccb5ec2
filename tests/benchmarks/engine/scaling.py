"""How the time of an adaptation grows with classes, shots, steps and sessions at once.

    python -m tests.benchmarks.engine.scaling --plot FILE.png --json FILE

Each point is the median of interleaved rounds, with the shipped initialization. ``growth`` is how
many times as long twice the work takes, in the worst of the doublings.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint
from inkling.engine.device import available_cores
from inkling.engine.engine import Engine
from inkling.meta.episode import Support

from .cases import images, support_set

AXES: Mapping[str, Sequence[int]] = {
    "classes (1 shot)": (2, 4, 8, 16, 32, 64),
    "shots (5 classes)": (1, 2, 4, 8, 16, 32),
    "steps (5 classes, 5 shots)": (1, 2, 4, 8),
    "sessions at once (5 classes, 1 shot)": (1, 2, 4, 8, 16, 32, 64),
}


class Subject:
    """An engine as a server runs it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._shape = checkpoint.network.input_shape
        self._engine = Engine(
            device=torch.device("cpu"), workers=available_cores(), queue_limit=1000
        )
        self._handle = self._engine.load(checkpoint)
        self._engine.warm_up(self._handle)
        self.max_steps = checkpoint.config.inner_loop.max_steps

    def work(self, axis: str, size: int) -> Callable[[], object]:
        """What one point of an axis times."""
        if axis.startswith("classes"):
            return self._adapting(size, 1, None)
        if axis.startswith("shots"):
            return self._adapting(5, size, None)
        if axis.startswith("steps"):
            return self._adapting(5, 5, size)
        one, pool = self._adapting(5, 1, None), ThreadPoolExecutor(size)
        return lambda: list(pool.map(lambda _: one(), range(size)))

    def _adapting(self, n_way: int, shot: int, steps: int | None) -> Callable[[], object]:
        labels = torch.arange(n_way).repeat_interleave(shot)
        support = support_set(Support(images(self._shape, n_way, shot), labels, n_way))
        return lambda: self._engine.adapt(self._handle, support, steps).result()


def measure(rounds: int) -> dict[str, dict[int, float]]:
    """Milliseconds by axis and size."""
    subject = Subject(load_checkpoint(find_checkpoint("omniglot")))
    points = [
        (axis, size, subject.work(axis, size))
        for axis, sizes in AXES.items()
        for size in sizes
        if not (axis.startswith("steps") and size > subject.max_steps)
    ]
    took: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for axis, size, work in points:
            work()
            began = time.perf_counter()
            work()
            took.setdefault((axis, size), []).append(1000 * (time.perf_counter() - began))
    found: dict[str, dict[int, float]] = {axis: {} for axis in AXES}
    for (axis, size), each in took.items():
        found[axis][size] = statistics.median(each)
    return found


def growth(times: Mapping[int, float]) -> float:
    """How many times as long twice the work takes, in the worst doubling."""
    return max(times[2 * size] / times[size] for size in times if 2 * size in times)


def plot(found: Mapping[str, Mapping[int, float]], path: Path) -> None:
    """Draw every axis, and beside it what twice the time for twice the work would be."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    for place, (axis, times) in enumerate(found.items(), start=1):
        axes = figure.add_subplot(2, 2, place)
        sizes = list(times)
        axes.loglog(sizes, list(times.values()), "o-", base=2, label="measured")
        linear = [times[sizes[-1]] * size / sizes[-1] for size in sizes]
        axes.loglog(sizes, linear, ":", base=2, color="grey", label="in proportion")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_xlabel(axis)
        axes.set_ylabel("ms")
        axes.set_title(f"twice the work: at most {growth(times):.2f} times as long", fontsize=10)
        axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, and draw."""
    parser = argparse.ArgumentParser(description="Time against classes, shots, steps, sessions.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--plot", type=Path, help="where the picture goes (PNG)")
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args()
    found = measure(given.rounds)
    for axis, times in found.items():
        listed = ", ".join(f"{size}: {milliseconds:.1f} ms" for size, milliseconds in times.items())
        print(f"{axis}: {listed}; growth {growth(times):.2f}", file=sys.stderr)
    if given.plot is not None:
        plot(found, given.plot)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
