"""`inkling demo`: a server, a few real drawings, and what it makes of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

SAMPLES = Path(__file__).resolve().parent.parent / "samples" / "omniglot"


def demo(
    seed: Annotated[int, typer.Option(help="Which characters and drawings are drawn.")] = 0,
    n_way: Annotated[int, typer.Option(help="How many characters.", min=2)] = 5,
    n_shot: Annotated[int, typer.Option(help="Support drawings of each.", min=1)] = 5,
    n_query: Annotated[int, typer.Option(help="Drawings of each to classify.", min=1)] = 10,
) -> None:
    """Start a server, adapt it to a few drawings of unseen characters, classify others."""
    from rich.console import Console
    from rich.table import Table

    from ..client import Client
    from ..main import create_app
    from ..settings import read_settings
    from .local_server import local_server

    console = Console()
    support, queries = draw(seed, n_way, n_shot, n_query)
    console.print(
        f"{n_way} characters of alphabets that the initialization never saw, "
        f"{n_shot} drawing(s) of each to adapt to, {n_query} of each to classify (seed {seed})."
    )
    with (
        local_server(create_app(read_settings(session_store="memory"))) as url,
        Client(url) as inkling,
    ):
        console.print(f"A server is up at {url}.")
        adapted = inkling.adapt(support)
        answer = adapted.answer
        console.print(
            f"POST /adapt: {sum(map(len, support.values()))} images, adapted from "
            f"{adapted.initialization!r} in "
            f"{answer['timing']['compute_ms']:.0f} ms of compute on {answer['device']}, "
            f"loss {answer['loss'][0]:.3f} -> {answer['loss'][-1]:.3f} in "
            f"{answer['steps']} steps."
        )
        table = Table("character", "right", "taken for another", title="POST /predict")
        total = 0
        for label, drawings in queries.items():
            predicted = [
                prediction.label for prediction in inkling.predict(adapted.session_id, drawings)
            ]
            right = predicted.count(label)
            total += right
            mistaken_for = ", ".join(sorted(set(predicted) - {label}))
            table.add_row(label, f"{right} of {len(drawings)}", mistaken_for)
        inkling.forget(adapted.session_id)
    console.print(table)
    asked = n_way * n_query
    console.print(f"{total} of {asked} right ({100 * total / asked:.1f} %).\n")
    console.print("By hand, against a server started by `make serve`:\n")
    console.print(curl_lines(support, queries), soft_wrap=True, highlight=False, markup=False)


def draw(
    seed: int, n_way: int, n_shot: int, n_query: int
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Draw support and query drawings of some sample characters, by label."""
    characters = sorted(folder for folder in SAMPLES.glob("*") if folder.is_dir())
    n_drawings = min(len(list(folder.glob("*.png"))) for folder in characters)
    if n_way > len(characters) or n_shot + n_query > n_drawings:
        raise typer.BadParameter(
            f"expected at most {len(characters)} characters and {n_drawings} drawings of each, "
            f"got {n_way} and {n_shot} + {n_query}"
        )
    chooser = random.Random(seed)
    support, queries = {}, {}
    for folder in sorted(chooser.sample(characters, n_way)):
        drawings = sorted(folder.glob("*.png"))
        chooser.shuffle(drawings)
        support[folder.name] = drawings[:n_shot]
        queries[folder.name] = drawings[n_shot : n_shot + n_query]
    return support, queries


def curl_lines(support: Mapping[str, Sequence[Path]], queries: Mapping[str, Sequence[Path]]) -> str:
    """The shell lines that adapt to the same drawings and classify one."""
    fields = " \\\n".join(
        f"  -F {label}=@{_shown(drawing)}"
        for label, drawings in support.items()
        for drawing in drawings
    )
    label, drawings = next(iter(queries.items()))
    return (
        f"curl -s http://127.0.0.1:8000/adapt \\\n{fields}\n\n"
        f"curl -s http://127.0.0.1:8000/predict -F session_id=SESSION_ID \\\n"
        f"  -F image=@{_shown(drawings[0])}    # a drawing of {label}"
    )


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
