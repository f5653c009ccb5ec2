"""Photographs over HTTP beside bare servers, in interleaved rounds.

python -m tests.benchmarks.photographs.speed photos --data FOLDER

A support set is five classes of five photographs of the validation domains. Rounds go A B C
A B C; a figure is the median over rounds, beside what it is of the bare server with the probe.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from inkling.data.domains import read

from ..http.contenders import Launch
from ..http.load_generator import LoadPlan, run_load
from ..http.processes import HOST, Server
from ..http.uploads import File, raw_request

N_WAY, N_SHOT, CLIENTS = 5, 5, 16
MODULE = __package__


@dataclass(frozen=True)
class Contender:
    """A server in one setting, and the options of its adaptations."""

    name: str
    server: Server
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
    given = parser.parse_args()
    support, queries = _photographs(given.data)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with ExitStack() as running:
        contenders = _started(running, given.checkpoint, given.torch_threads)
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
                    for clients in (1, CLIENTS):
                        plan = LoadPlan(
                            HOST, each.server.port, [sent] * clients, clients, given.seconds
                        )
                        with each.server.awake():
                            result = run_load(plan)
                        case = f"{task}, {clients} clients"
                        figure = result.p50_ms if clients == 1 else result.throughput_per_s
                        found[case][each.name].append(figure)
    print(_table(found))


def _table(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    cases = list(found)
    lines = ["| | " + " | ".join(cases) + " |", "| --- |" + " --- |" * len(cases)]
    for name in next(iter(found.values())):
        medians = [statistics.median(found[case][name]) for case in cases]
        cells = [
            f"{median:.1f} {'ms' if ' 1 ' in case else 'a second'}"
            for case, median in zip(cases, medians, strict=True)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _started(running: ExitStack, checkpoint: str, torch_threads: Sequence[int]) -> list[Contender]:
    folder = Path(running.enter_context(tempfile.TemporaryDirectory()))

    def start(name: str, launch: Launch, options: Mapping[str, str] | None = None) -> Contender:
        own = folder / name.replace(" ", "-")
        own.mkdir()
        server = launch.start(own)
        running.callback(server.stop)
        server.wait()
        server.hold()
        return Contender(name, server, options)

    inkling = Launch(
        ["inkling", "serve", "--initializations", checkpoint],
        probe="/readyz",
        environment={"INKLING_SESSION_FOLDER": "{folder}"},
    )
    contenders = [
        start("inkling", inkling, {"views": "1"}),
        start("inkling, 0 steps", inkling, {"views": "1", "steps": "0"}),
        start("inkling, 2 views", inkling, {"views": "2"}),
        start("inkling, 6 views", inkling, {"views": "6"}),
    ]
    for kind, views in (("probe", 1), ("probe", 2), ("probe", 6), ("loop", 1)):
        for threads in torch_threads:
            module = [f"{MODULE}.bare_server", "--kind", kind, "--checkpoint", checkpoint]
            launch = Launch([*module, "--torch-threads", str(threads), "--views", str(views)])
            name = f"bare, {kind}, {views} views, {threads} torch threads"
            contenders.append(start(name, launch))
    return contenders


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
