"""`inkling keys`: who may use a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..key_file import add_key, read_keys, remove_keys

keys = typer.Typer(
    help="API keys of a server. A running server reads a file that has changed anew.",
    no_args_is_help=True,
)
File = Annotated[
    Path, typer.Option("--file", envvar="INKLING_API_KEYS_FILE", help="The file of API keys.")
]


@keys.command()
def add(
    tenant: Annotated[str, typer.Argument(help="Whose key it is; a tenant may have several.")],
    file: File,
) -> None:
    """Make a key, print it once, and keep its hash."""
    typer.echo(add_key(file, tenant))


@keys.command("list")
def list_keys(file: File) -> None:
    """Tenants and the ids of their keys."""
    for entry in read_keys(file):
        told = "not hashed" if entry.plain else entry.comment
        typer.echo(f"{entry.tenant}\t{entry.id}\t{told}")


@keys.command()
def remove(
    name: Annotated[str, typer.Argument(help="A tenant, or the id of one key.")], file: File
) -> None:
    """Remove all keys of a tenant, or one key."""
    for entry in remove_keys(file, name):
        typer.echo(f"removed {entry.tenant}\t{entry.id}")
