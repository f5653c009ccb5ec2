"""Two source trees of Inkling, compared round by round on one machine."""

from __future__ import annotations

import statistics
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

THIS = Path(__file__).resolve().parents[2]
"""The root of the tree that this file belongs to."""

Side = Literal["before", "after"]
SIDES: Sequence[Side] = ("before", "after")


def python_of(tree: Path) -> Path:
    """The interpreter of a tree's own environment. Raises FileNotFoundError without one."""
    if tree == THIS:
        return Path(sys.executable)
    python = tree / ".venv" / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"{python}: expected a tree with an environment of its own")
    return python


def order_of(round_index: int) -> Sequence[Side]:
    """Who goes first alternates, so that a machine that slows down favours neither."""
    return SIDES if round_index % 2 == 0 else SIDES[::-1]


@dataclass(frozen=True)
class Comparison:
    """Milliseconds a call of both trees in one case, a figure for each round."""

    case: str
    before_ms: Sequence[float]
    after_ms: Sequence[float]

    def ratios(self) -> list[float]:
        """How many times as long the second tree takes, by round, in ascending order."""
        rounds = zip(self.before_ms, self.after_ms, strict=True)
        return sorted(after / before for before, after in rounds)

    def ratio(self) -> float:
        """The median over the rounds: above 1 the second tree is slower."""
        return statistics.median(self.ratios())

    def line(self) -> str:
        """The comparison as a row of a table."""
        before, after = (statistics.median(ms) for ms in (self.before_ms, self.after_ms))
        ratios = self.ratios()
        return (
            f"| {self.case} | {before:.2f} | {after:.2f} | **{self.ratio():.3f}** | "
            f"{ratios[0]:.3f} to {ratios[-1]:.3f} |"
        )


HEAD = (
    "| case | before, ms | after, ms | after / before | over the rounds |\n"
    "| --- | --- | --- | --- | --- |"
)


def add_arguments(parser: ArgumentParser, *, rounds: int) -> None:
    """What every comparison can be told."""
    parser.add_argument("--before", type=Path, required=True, help="the tree to compare with")
    parser.add_argument("--after", type=Path, default=THIS, help="else the tree of this file")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument(
        "--limit", type=float, help="fail where the second tree takes so many times as long"
    )


def conclude(comparisons: Sequence[Comparison], limit: float | None) -> None:
    """Print the table, and exit with status 1 if a ratio is above the limit."""
    print(HEAD, *(comparison.line() for comparison in comparisons), sep="\n")
    slower = [each for each in comparisons if limit is not None and each.ratio() > limit]
    for comparison in slower:
        print(f"SLOWER {comparison.case}: {comparison.ratio():.3f} times", file=sys.stderr)
    if slower:
        sys.exit(1)
