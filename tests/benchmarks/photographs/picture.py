"""A picture of error against time over HTTP, for Inkling and for a bare server with the probe.

python -m tests.benchmarks.photographs.picture ACCURACY.json SPEED.json PICTURE.png

The files are those of `--out` of the accuracy (5-way 5-shot, one probe) and of the speed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .episodes import OWN, Setting

VIEWS = (1, 2, 6)
Point = tuple[float, float]
Figures = Mapping[str, Mapping[str, float]]


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description="Error against time.")
    for name in ("accuracy", "speed", "picture"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    accuracy = json.loads(given.accuracy.read_text())
    speed = json.loads(given.speed.read_text())
    _draw(
        {
            "Inkling": list(_points(accuracy, speed, OWN, "inkling, {}")),
            "bare server, linear probe": list(
                _points(accuracy, speed, "probe C=100", "bare, probe, {}, ")
            ),
        },
        given.picture,
    )


def _points(
    accuracy: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    speed: Figures,
    classifier: str,
    server: str,
) -> Iterator[Point]:
    """Milliseconds of an adaptation and a prediction, and the error in %, at each of the views."""
    for n_views in VIEWS:
        views = "1 view" if n_views == 1 else f"{n_views} views"
        told = Setting(5, 5, n_views, 0).told()
        if told not in accuracy:
            continue
        domains = accuracy[told][classifier].values()
        right = sum(sum(shares) / len(shares) for shares in domains) / len(domains)
        took = min(
            figure + speed["predict, 1 client"][name]
            for name, figure in speed["adapt, 1 client"].items()
            if f"{name}, ".startswith(server.format(views)) and "0 steps" not in name
        )
        yield took, 100 * (1 - right)


def _draw(lines: Mapping[str, Sequence[Point]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, points in lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    for (milliseconds, error), n_views in zip(lines["Inkling"], VIEWS, strict=False):
        axes.annotate(f"{n_views}", (milliseconds, error), (4, 4), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_xlabel("one adaptation (25 photographs) and one prediction, ms")
    axes.set_ylabel("error, %, mean over unseen domains")
    axes.set_title("5-way 5-shot, 1, 2 and 6 views")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
