"""Figures to tables and pictures."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from .engine.measure import Row as EngineRow
from .http.contenders import EMPTY
from .http.measure import Row as HttpRow

INKLING = "inkling"
NO_RIVALS = (INKLING, "inkling-eager", "kernels alone")


def machine() -> str:
    """What the figures were measured on."""
    import os

    import torch

    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next(
            (ln.split(":")[1].strip() for ln in lines if ln.startswith("model name")), model
        )
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "fastapi", "uvicorn")
    )
    loop = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
    return (
        f"{model}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}, "
        f"Python {platform.python_version()}, {versions}, {loop}"
    )


def engine_table(rows: Sequence[EngineRow]) -> str:
    """One call at a time, then several at once; how many times as long as Inkling takes."""
    alone = [row for row in rows if row.per_second is None]
    rivals = _engine_rivals(alone)
    ours = {(r.case, r.job): r.p50_ms for r in alone if r.contestant == INKLING}
    text = _table(
        ("case", "job", "contestant", "threads", "p50 ms", "p95", "p99", "GFLOP/s",
         "of peak", "bytes", "times Inkling's", "best rival"),
        (
            (
                row.case, row.job, row.contestant, row.threads, f"{row.p50_ms:.2f}",
                f"{row.p95_ms:.2f}", f"{row.p99_ms:.2f}",
                "" if row.gflops is None else f"{row.gflops:.0f}",
                "" if row.peak is None else f"{row.peak:.0%}",
                "" if row.session_bytes is None else f"{row.session_bytes:,}",
                f"{row.p50_ms / ours[row.case, row.job]:.2f}",
                rivals.get((row.case, row.job), "") if row.contestant == INKLING else "",
            )
            for row in alone
        ),
    )  # fmt: skip
    several = [row for row in rows if row.per_second is not None]
    if several:
        text += "\n" + _table(
            ("case", "job", "contestant", "threads", "callers", "a second"),
            (
                (r.case, r.job, r.contestant, r.threads, r.callers, f"{r.per_second:.0f}")
                for r in several
            ),
        )
    return text


def _engine_rivals(rows: Sequence[EngineRow]) -> dict[tuple[str, str], str]:
    """By case and job: the quickest of the others at its best number of threads, and the ratio."""
    told: dict[tuple[str, str], str] = {}
    for ours in rows:
        rivals = [
            row
            for row in rows
            if (row.case, row.job) == (ours.case, ours.job) and row.contestant not in NO_RIVALS
        ]
        if ours.contestant == INKLING and rivals:
            best = min(rivals, key=lambda row: row.p50_ms)
            ratio = best.p50_ms / ours.p50_ms
            told[ours.case, ours.job] = f"{best.contestant} ({best.threads}): {ratio:.2f} x as long"
    return told


def _http_rivals(rows: Sequence[HttpRow]) -> dict[str, str]:
    """By case: the other server that answers the most calls in its best setting, and the ratio."""
    told: dict[str, str] = {}
    for ours in rows:
        rates = {
            f"{row.contender} ({row.setting})": row.throughput_per_s
            for row in rows
            if row.case == ours.case and not row.contender.startswith((INKLING, EMPTY))
            if row.throughput_per_s is not None
        }
        if ours.contender == INKLING and ours.throughput_per_s is not None and rates:
            best = max(rates, key=rates.__getitem__)
            told[ours.case] = f"{best}: {rates[best] / ours.throughput_per_s:.2f} x as many"
    return told


def http_table(rows: Sequence[HttpRow]) -> str:
    """Over HTTP, with the best rival beside Inkling."""
    rivals = _http_rivals(rows)
    return _table(
        ("case", "contender", "setting", "a second", "p50 ms", "p95", "p99", "rounds",
         "best rival"),
        (
            (row.case, row.contender, row.setting, f"SKIPPED: {row.skipped}", "", "", "", "", "")
            if row.skipped or row.throughput_per_s is None
            else (
                row.case, row.contender, row.setting, f"{row.throughput_per_s:.0f}",
                f"{row.p50_ms:.2f}", f"{row.p95_ms:.2f}", f"{row.p99_ms:.2f}", row.rounds,
                rivals.get(row.case, "") if row.contender == INKLING else "",
            )
            for row in rows
        ),
    )  # fmt: skip


def plot_engine(rows: Sequence[EngineRow], path: Path) -> None:
    """A bar for each contestant and case, of the adaptations one at a time."""
    from matplotlib.figure import Figure

    adapted = [row for row in rows if row.job == "adapt" and row.per_second is None]
    cases = list(dict.fromkeys(row.case for row in adapted))
    contestants = list(dict.fromkeys(row.contestant for row in adapted))
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(contestants)
    for place, contestant in enumerate(contestants):
        found = {row.case: row.p50_ms for row in adapted if row.contestant == contestant}
        axes.bar(
            [cases.index(case) + place * width for case in found],
            list(found.values()),
            width,
            label=contestant,
        )
    axes.set_yscale("log")
    axes.set_ylabel("ms an adaptation, median")
    axes.set_xticks([i + 0.4 for i in range(len(cases))], cases, rotation=20, ha="right")
    axes.legend()
    figure.savefig(path, dpi=110)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
