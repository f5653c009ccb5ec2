"""Photographs over HTTP beside bare servers, in interleaved rounds.

python -m tests.benchmarks.photographs.speed photos --data FOLDER

A support set is five classes of five photographs of the validation domains. Rounds go A B C
A B C; a figure is the median over rounds, beside what it is of the bare server with the probe.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from inkling.data.domains import read

from ..http.contenders import Launch
from ..http.load_generator import LoadPlan, run_load
from ..http.processes import HOST, Server
from ..http.uploads import File, raw_request

N_WAY, N_SHOT, CLIENTS = 5, 5, 16
LEAST_TOGETHER = 16.0
"""Seconds in which 16 clients adapt."""
MODULE = __package__


@dataclass(frozen=True)
class Contender:
    """A server in one setting, and the options of its adaptations."""

    name: str
    server: Server
    n_views: int
    options: Mapping[str, str] | None = None
    """None for the bare servers, which take none and read labels from file names."""
    session_ids: list[str] = field(default_factory=list)

    def adapt(self, support: Sequence[tuple[str, bytes]]) -> bytes:
        """The request that makes a session of labelled photographs."""
        if self.options is None:
            files = [File("images", f"{label}/{n}", image) for n, (label, image) in _many(support)]
            return raw_request("/adapt", {}, files)
        files = [File(label, f"{n}.jpg", image) for n, (label, image) in _many(support)]
        return raw_request("/adapt", self.options, files)

    def predict(self, image: bytes) -> bytes:
        """The request that classifies a photograph with the first session."""
        return raw_request(
            "/predict", {"session_id": self.session_ids[0]}, [File("image", "query.jpg", image)]
        )


def main() -> None:
    """Start all servers, measure, and print a table."""
    parser = argparse.ArgumentParser(description="Photographs over HTTP beside bare servers.")
    parser.add_argument("checkpoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--torch-threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", help="begins the names of those that are measured")
    parser.add_argument("--out", type=Path, help="JSON of the medians, for a picture")
    given = parser.parse_args()
    support, queries = _photographs(given.data)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with ExitStack() as running:
        contenders = [
            start(running)
            for name, start in _startable(given.checkpoint, given.torch_threads)
            if given.only is None or name.startswith(tuple(given.only))
        ]
        for each in contenders:
            with each.server.awake():
                answer = json.loads(each.server.send(each.adapt(support)))
            each.session_ids.append(answer["session_id"])
        for _ in range(given.rounds):
            for each in contenders:
                requests = {
                    "adapt": [each.adapt(support)],
                    "predict": [each.predict(image) for image in queries],
                }
                for task, sent in requests.items():
                    # Bare servers run out of memory on 16 calls of many views.
                    for clients in (1, CLIENTS) if each.n_views == 1 else (1,):
                        # Long enough for many answers where they come in bursts.
                        together = task == "adapt" and clients > 1
                        seconds = max(given.seconds, LEAST_TOGETHER if together else 0)
                        plan = LoadPlan(HOST, each.server.port, [sent] * clients, clients, seconds)
                        with each.server.awake():
                            result = run_load(plan)
                        case = f"{task}, {clients} client{'s' * (clients > 1)}"
                        figure = result.p50_ms if clients == 1 else result.throughput_per_s
                        found[case][each.name].append(figure)
                        print(f"{case}, {each.name}: {figure:.1f}", file=sys.stderr, flush=True)
    print(_table(found))
    if given.out is not None:
        medians = {
            case: {name: statistics.median(figures) for name, figures in of_case.items()}
            for case, of_case in found.items()
        }
        given.out.write_text(json.dumps(medians) + "\n")


def _table(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    cases = list(found)
    lines = ["| | " + " | ".join(cases) + " |", "| --- |" + " --- |" * len(cases)]
    for name in next(iter(found.values())):
        cells = []
        for case in cases:
            unit = "ms" if " 1 " in case else "a second"
            figures = found[case].get(name)
            cells.append(f"{statistics.median(figures):.1f} {unit}" if figures else "-")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _startable(
    checkpoint: str, torch_threads: Sequence[int]
) -> Iterator[tuple[str, Callable[[ExitStack], Contender]]]:
    """Each contender by name, and what starts it until a stack of resources closes."""

    def starting(
        name: str, launch: Launch, n_views: int, options: Mapping[str, str] | None = None
    ) -> tuple[str, Callable[[ExitStack], Contender]]:
        def start(running: ExitStack) -> Contender:
            folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
            server = launch.start(folder)
            running.callback(server.stop)
            server.wait()
            server.hold()
            return Contender(name, server, n_views, options)

        return name, start

    inkling = Launch(
        ["inkling", "serve", "--initializations", checkpoint],
        probe="/readyz",
        environment={"INKLING_SESSION_FOLDER": "{folder}"},
    )
    yield starting("inkling, 1 view", inkling, 1, {"views": "1"})
    yield starting("inkling, 1 view, 0 steps", inkling, 1, {"views": "1", "steps": "0"})
    yield starting("inkling, 2 views", inkling, 2, {"views": "2"})
    yield starting("inkling, 6 views", inkling, 6, {"views": "6"})
    for kind, views in (("probe", 1), ("probe", 2), ("probe", 6), ("loop", 1)):
        for threads in torch_threads if views == 1 else torch_threads[:1]:
            module = [f"{MODULE}.bare_server", "--kind", kind, "--checkpoint", checkpoint]
            launch = Launch([*module, "--torch-threads", str(threads), "--views", str(views)])
            told = "1 view" if views == 1 else f"{views} views"
            yield starting(f"bare, {kind}, {told}, {threads} torch threads", launch, views)


def _photographs(data: Path) -> tuple[list[tuple[str, bytes]], list[bytes]]:
    """A support set in the order of its classes, and queries of the same classes."""
    support, queries = list[tuple[str, bytes]](), list[bytes]()
    for number, encoded in enumerate(read(data, "validation")):
        if number == N_WAY:
            break
        files = [content for _, content in encoded.files]
        support += [(f"class{number}", content) for content in files[:N_SHOT]]
        queries += files[N_SHOT : N_SHOT + 2]
    return support, queries


def _many(support: Sequence[tuple[str, bytes]]) -> list[tuple[int, tuple[str, bytes]]]:
    return list(enumerate(support))


if __name__ == "__main__":
    main()
