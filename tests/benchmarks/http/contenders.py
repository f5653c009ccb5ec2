"""Who is measured: Inkling as it is started by its users, and the opponents in their settings."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..comparison import THIS
from .processes import Server, free_port
from .uploads import Dialect, InklingDialect, PlainDialect

Case = Literal["adapt", "predict_many", "predict_one"]
CASES: tuple[Case, ...] = ("adapt", "predict_many", "predict_one")
LITSERVE = "litserve"
CHANNELS_LAST = "_channels_last"
EMPTY = "empty_"
"""Begins the names of servers that compute nothing."""


@dataclass(frozen=True)
class Launch:
    """How a contender is started: a module with arguments, environment variables besides."""

    module: Sequence[str]
    probe: str = "/health"
    uvicorn_processes: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    tree: Path = THIS
    """The source tree whose environment and package run."""

    def start(self, folder: Path) -> Server:
        """Start it on a free port, with ``folder`` for what it writes."""
        port = free_port()
        command = [*self.module, "--port", str(port)]
        environment = {name: text.format(folder=folder) for name, text in self.environment.items()}
        return Server(
            command,
            environment,
            folder / "log",
            port=port,
            probe=self.probe,
            tree=self.tree,
            uvicorn_processes=self.uvicorn_processes,
        )


@dataclass(frozen=True)
class Contender:
    """A server in one setting, in the cases that it takes part in."""

    name: str
    setting: str
    launch: Launch
    dialect: Dialect
    cases: Sequence[Case] = CASES
    empty: bool = False
    """Only receives a prediction's upload: the floor under the latency of one client."""


def contenders() -> list[Contender]:
    """All of them, whether or not they can be started here."""
    return [inkling(), *_bare(), *_empty(), *_litserve()]


def why_skipped(contender: Contender) -> str | None:
    """Why a contender cannot be started here, if it cannot."""
    if contender.name.startswith(LITSERVE) and importlib.util.find_spec(LITSERVE) is None:
        return f"the package {LITSERVE} is not installed"
    return None


def inkling(tree: Path = THIS, name: str = "inkling") -> Contender:
    """The server of a source tree as users start it, but for the folder of its sessions."""
    launch = Launch(
        ["inkling", "serve"],
        probe="/readyz",
        environment={"INKLING_SESSION_FOLDER": "{folder}"},
        tree=tree,
    )
    return Contender(name, "default", launch, InklingDialect())


def _bare() -> list[Contender]:
    settings: list[tuple[str, Sequence[str], int]] = [
        ("async def, torch threads 1", ["--kind", "async"], 1),
        ("async def, torch threads 2", ["--kind", "async", "--torch-threads", "2"], 1),
        ("def, pool threads 2, torch threads 1", ["--pool-threads", "2"], 1),
        ("def, pool threads 40, torch threads 1", [], 1),
        ("async def, torch threads 1, processes 2", ["--kind", "async", "--processes", "2"], 2),
    ]
    return [
        Contender(
            name,
            setting,
            Launch(
                [f"{__package__}.bare_fastapi", *arguments, *memory_format],
                uvicorn_processes=processes,
            ),
            PlainDialect(),
            # Processes share no dict of sessions.
            CASES if processes == 1 else ("adapt",),
        )
        for name, memory_format in _in_both_formats("bare_fastapi")
        for setting, arguments, processes in settings
    ]


def _empty() -> list[Contender]:
    module, dialect = f"{__package__}.bare_fastapi", PlainDialect(predict_path="/empty")
    return [
        Contender(name, "async def", Launch(command), dialect, ("predict_one",), empty=True)
        for name, command in (
            (EMPTY + "fastapi", [module]),
            (EMPTY + "starlette", [module, "--kind", "starlette"]),
        )
    ]


def _litserve() -> list[Contender]:
    settings: list[tuple[str, Sequence[str], int]] = [
        ("worker 1, torch threads 1", [], 1),
        ("worker 1, torch threads 2", ["--torch-threads", "2"], 1),
        ("workers 2, torch threads 1", ["--workers", "2"], 2),
    ]
    return [
        Contender(
            name,
            setting,
            # It starts as many servers for HTTP as workers that compute.
            Launch(
                [f"{__package__}.litserve_server", *arguments, *memory_format],
                uvicorn_processes=workers,
            ),
            PlainDialect(adapt_path="/predict"),
            CASES if workers == 1 else ("adapt",),
        )
        for name, memory_format in _in_both_formats(LITSERVE)
        for setting, arguments, workers in settings
    ]


def _in_both_formats(name: str) -> list[tuple[str, Sequence[str]]]:
    """An opponent in torch's own memory format, and in the one that CPUs convolve faster in."""
    return [(name, []), (name + CHANNELS_LAST, ["--channels-last"])]
