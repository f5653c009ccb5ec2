"""All benchmarks: tables, JSON and pictures into a folder.

python -m tests.benchmarks --out FOLDER --learn2learn TREE --higher TREE
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

import torch

from . import report
from .engine import measure as engine
from .engine import scaling
from .engine.contestants import Trees
from .http import measure as http
from .http.processes import busy_neighbour
from .rows import write_rows


def main() -> None:
    """Measure all, the engine also beside another busy process."""
    parser = argparse.ArgumentParser(description="Run all benchmarks.")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is found")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each HTTP round")
    parser.add_argument("--learn2learn", type=Path, help="its source tree; skipped without")
    parser.add_argument("--higher", type=Path, help="its source tree; skipped without")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for library in ("learn2learn", "higher"):
        if getattr(given, library) is None:
            print(f"SKIPPED {library}: no source tree was given", file=sys.stderr)
    torch.set_num_threads(1)
    text = f"# Benchmarks\n\n{report.machine()}\n"
    trees = Trees(given.learn2learn, given.higher)
    with engine.running(trees) as remotes:
        rows = engine.measure_latency(remotes, engine.CASES, given.rounds)
        rows += engine.measure_throughput(remotes, engine.CASES[:1], given.rounds, 1.0)
        text += "\n## Engine\n\n" + report.engine_table(rows)
        write_rows(rows, given.out / "engine.json")
        report.plot_engine(rows, given.out / "engine.png")
        with contextlib.ExitStack() as beside:
            beside.enter_context(busy_neighbour())
            contended = engine.measure_latency(remotes, engine.CASES[:6], given.rounds)
        text += "\n## Engine, beside another busy process\n\n" + report.engine_table(contended)
        write_rows(contended, given.out / "engine-busy.json")
    grown = scaling.measure(3 * given.rounds)
    (given.out / "scaling.json").write_text(json.dumps(grown, indent=1) + "\n")
    scaling.plot(grown, given.out / "scaling.png")
    served = http.measure(rounds=given.rounds, seconds=given.seconds)
    text += "\n## Over HTTP\n\n" + report.http_table(served)
    write_rows(served, given.out / "http.json")
    (given.out / "tables.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
