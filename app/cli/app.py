"""`inkling`: the table of commands, and how refusals end them."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from ..errors import InklingError
from .calibrate import calibrate
from .compile_loops import compile_loops
from .demo import demo
from .evaluate import evaluate
from .fit_metric import fit_metric
from .import_backbone import import_backbone
from .keys import keys
from .learned_from import learned_from
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
app.command()(calibrate)
app.command("import-backbone")(import_backbone)
app.command("fit-metric")(fit_metric)
app.command("learned-from")(learned_from)
app.command("compile")(compile_loops)
app.add_typer(keys, name="keys")


def main() -> None:
    """Run a command; a refusal is one line on standard error and exit status 1."""
    try:
        app()
    except InklingError as refusal:
        _end(str(refusal))
    except ModuleNotFoundError as missing:
        if (missing.name or "inkling").partition(".")[0] == "inkling":
            raise
        _end(f"{missing}: this command needs pip install 'inkling[server,train]'")


def _end(message: str) -> NoReturn:
    sys.stderr.write(f"inkling: {message}\n")
    raise SystemExit(1)
