"""`inkling adapt`, `report`, `sessions`, `export`, `restore` and `forget`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..client import Adaptation, NotFound, Report, SessionInfo
from . import session_names
from .chosen_server import KeyFile, NoShrink, Place, Server
from .session_names import Named

SessionArgument = Annotated[
    str, typer.Argument(metavar="SESSION", help="A name from `inkling adapt --name`, or an id.")
]
Name = Annotated[
    str | None, typer.Option("--name", help="A name for the session, for the other commands.")
]
AsJson = Annotated[bool, typer.Option("--json", help="All that the server said, as JSON.")]


def adapt(
    folder: Annotated[Path, typer.Argument(help="A folder or zip with a folder for each class.")],
    name: Name = None,
    server: Server = None,
    api_key_file: KeyFile = None,
    initialization: Annotated[
        str | None, typer.Option(help="The initialization; by default the images decide.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Inner steps.", min=0)] = None,
    ttl_seconds: Annotated[
        float | None, typer.Option(help="How long the session is kept without use.", min=1)
    ] = None,
    as_json: AsJson = False,
    no_shrink: NoShrink = False,
) -> None:
    """Make a session that tells the classes of a folder apart."""
    if name is not None:
        session_names.check_name(name)
    with Place(server, api_key_file, not no_shrink).client() as client:
        session = client.adapt(
            folder, initialization=initialization, steps=steps, ttl_seconds=ttl_seconds
        )
        made = session.adaptation
    if name is not None:
        session_names.give(name, Named(made.session_id, server))
    if as_json:
        _print_json(made)
    else:
        _print_adaptation(made, name)


def report(
    session: SessionArgument,
    server: Server = None,
    api_key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Which of a session's own images look mislabelled, and which classes look alike."""
    named = session_names.named(session, server)
    with Place(named.server, api_key_file).client() as client:
        found = client.report(named.session_id)
    if as_json:
        typer.echo(json.dumps(_report_told(found), ensure_ascii=False))
        return
    if found.accuracy is None:
        typer.echo("no image could be checked: a class needs two of them")
    else:
        typer.echo(f"{found.accuracy:.1%} of {found.n_checked} images right when held out in turn")
    for pair in found.confused:
        typer.echo(f"{pair.images} of {pair.label} taken for {pair.taken_for}")
    for suspect in found.suspects:
        typer.echo(
            f"image {suspect.position} of {suspect.label} looks like {suspect.looks_like} "
            f"({suspect.probability:.1%})"
        )


def sessions(server: Server = None, api_key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """All sessions, the newest first."""
    by_id = {named.session_id: name for name, named in session_names.names().items()}
    with Place(server, api_key_file).client() as client:
        known = list(client.sessions())
    if as_json:
        told = [{**info.answer, "name": by_id.get(info.session_id)} for info in known]
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    for info in known:
        typer.echo("\t".join((info.session_id, by_id.get(info.session_id, "-"), _told(info))))


def export(
    session: SessionArgument,
    file: Annotated[Path, typer.Argument(help="Ends in .onnx or .safetensors.")],
    server: Server = None,
    api_key_file: KeyFile = None,
) -> None:
    """Write a session to a file, for ONNX Runtime or for another server."""
    named = session_names.named(session, server)
    with Place(named.server, api_key_file).client() as client:
        content = client.export(named.session_id, file)
    typer.echo(f"{file}: {len(content):,} bytes")


def restore(
    file: Annotated[Path, typer.Argument(help="A .safetensors file of `inkling export`.")],
    name: Name = None,
    server: Server = None,
    api_key_file: KeyFile = None,
) -> None:
    """Make a session of a file that `inkling export` wrote."""
    if name is not None:
        session_names.check_name(name)
    with Place(server, api_key_file).client() as client:
        info = client.restore(file).info
    if name is not None:
        session_names.give(name, Named(info.session_id, server))
    typer.echo(f"session {name or info.session_id}: {_told(info)}")


def forget(session: SessionArgument, server: Server = None, api_key_file: KeyFile = None) -> None:
    """Delete a session, and its name."""
    named = session_names.named(session, server)
    try:
        with Place(named.server, api_key_file).client() as client:
            client.session(named.session_id)
            client.forget(named.session_id)
    except NotFound:
        # A name of a session that has ended is no use to anybody.
        session_names.take(named.session_id)
        raise
    session_names.take(named.session_id)
    typer.echo(f"forgotten: {session}")


def _print_adaptation(made: Adaptation, name: str | None) -> None:
    typer.echo(f"session {name or made.session_id}: {_told(made)}")
    typer.echo(
        f"loss {made.loss[0]:.3f} -> {made.loss[-1]:.3f} in {made.steps} steps, "
        f"{made.support_accuracy:.1%} of its own images right"
    )
    for notice in made.warnings:
        typer.echo(f"inkling: {notice.message}", err=True)


def _print_json(info: SessionInfo) -> None:
    typer.echo(json.dumps(dict(info.answer), ensure_ascii=False))


def _told(info: SessionInfo) -> str:
    classes = ", ".join(f"{label} ({info.images[label]})" for label in info.labels)
    ends = info.expires_at.strftime("%Y-%m-%d %H:%M")
    return f"{classes}; from {info.initialization or 'an initialization not loaded'}, until {ends}"


def _report_told(found: Report) -> dict[str, object]:
    return {
        "method": found.method,
        "n_checked": found.n_checked,
        "accuracy": found.accuracy,
        "confusion": vars(found.confusion),
        "confused": [vars(pair) for pair in found.confused],
        "suspects": [vars(suspect) for suspect in found.suspects],
        "not_checkable": found.not_checkable,
    }
