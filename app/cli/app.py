"""`inkling`: the table of commands, and how refusals end them."""

from __future__ import annotations

import sys

import typer

from ..errors import InklingError
from .demo import demo
from .evaluate import evaluate
from .serve import serve
from .train import train

app = typer.Typer(
    help="Few-shot image classification over REST, by MAML's inner loop per request.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(demo)
app.command()(train)
app.command()(evaluate)


def main() -> None:
    """Run a command; a refusal is one line on standard error and exit status 1."""
    try:
        app()
    except InklingError as refusal:
        sys.stderr.write(f"inkling: {refusal}\n")
        raise SystemExit(1) from None


def needs(extra: str, missing: ImportError) -> InklingError:
    """The refusal of a command whose packages are not installed."""
    return InklingError(f"{missing}; this command needs: pip install 'inkling[{extra}]'")
