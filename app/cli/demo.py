"""`inkling demo`: a server, a few real images, and what it makes of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

Kind = Literal["photographs", "drawings"]
_SAMPLES = Path(__file__).resolve().parent.parent / "samples"
SAMPLES: Mapping[Kind, Path] = {
    "photographs": _SAMPLES / "groceries",
    "drawings": _SAMPLES / "omniglot",
}
"""Folders with a folder for each class, of classes that no initialization learned from."""


def demo(
    seed: Annotated[int, typer.Option(help="Which classes and images are drawn.")] = 0,
    kind: Annotated[
        Kind, typer.Option(help="Of groceries, or of characters of unseen alphabets.")
    ] = "photographs",
    n_way: Annotated[int, typer.Option(help="How many classes.", min=2)] = 5,
    n_shot: Annotated[int, typer.Option(help="Support images of each.", min=1)] = 5,
    n_query: Annotated[int, typer.Option(help="Images of each to classify.", min=1)] = 10,
) -> None:
    """Start a server, adapt it to a few images of unseen classes, classify others."""
    from rich.console import Console
    from rich.table import Table

    from ..client import Client
    from ..main import create_app
    from ..settings import read_settings
    from .local_server import local_server

    console = Console()
    support, queries = draw(kind, seed, n_way, n_shot, n_query)
    console.print(
        f"{kind.capitalize()} of {n_way} classes that no initialization learned from, {n_shot} of "
        f"each to adapt to, {n_query} of each to classify (seed {seed})."
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
        table = Table("class", "right", "taken for another", title="POST /predict")
        total = 0
        for label, images in queries.items():
            predicted = [
                prediction.label for prediction in inkling.predict(adapted.session_id, images)
            ]
            right = predicted.count(label)
            total += right
            mistaken_for = ", ".join(sorted(set(predicted) - {label}))
            table.add_row(label, f"{right} of {len(images)}", mistaken_for)
        inkling.forget(adapted.session_id)
    console.print(table)
    asked = n_way * n_query
    console.print(f"{total} of {asked} right ({100 * total / asked:.1f} %).\n")
    console.print("By hand, against a server started by `make serve`:\n")
    console.print(curl_lines(support, queries), soft_wrap=True, highlight=False, markup=False)


def draw(
    kind: Kind, seed: int, n_way: int, n_shot: int, n_query: int
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Draw support and query images of some sample classes, by label."""
    classes = {
        folder.name: images(folder) for folder in sorted(SAMPLES[kind].iterdir()) if folder.is_dir()
    }
    n_images = min(map(len, classes.values()))
    if n_way > len(classes) or n_shot + n_query > n_images:
        raise typer.BadParameter(
            f"expected at most {len(classes)} classes and {n_images} images of each, "
            f"got {n_way} and {n_shot} + {n_query}"
        )
    chooser = random.Random(seed)
    support, queries = {}, {}
    for name in sorted(chooser.sample(list(classes), n_way)):
        chooser.shuffle(classes[name])
        support[name] = classes[name][:n_shot]
        queries[name] = classes[name][n_shot : n_shot + n_query]
    return support, queries


def images(folder: Path) -> list[Path]:
    """The sample images of a class, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))


def curl_lines(support: Mapping[str, Sequence[Path]], queries: Mapping[str, Sequence[Path]]) -> str:
    """The shell lines that adapt to the same images and classify one."""
    fields = " \\\n".join(
        f"  -F {label}=@{_shown(image)}" for label, own in support.items() for image in own
    )
    label, own = next(iter(queries.items()))
    return (
        f"curl -s http://127.0.0.1:8000/adapt \\\n{fields}\n\n"
        f"curl -s http://127.0.0.1:8000/predict -F session_id=SESSION_ID \\\n"
        f"  -F image=@{_shown(own[0])}    # shows {label}"
    )


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
