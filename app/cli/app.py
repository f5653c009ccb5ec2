"""`inkling`: the table of commands, and how refusals end them."""

from __future__ import annotations

import sys
import warnings
from typing import NoReturn, TextIO

import typer

from ..errors import InklingError
from ..files.left_out import FilesLeftOut
from . import sessions
from .calibrate import calibrate
from .compile_loops import compile_loops
from .demo import demo
from .evaluate import evaluate
from .fit_metric import fit_metric
from .import_backbone import import_backbone
from .keys import keys
from .learned_from import learned_from
from .predict import predict
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
app.command()(sessions.adapt)
app.command()(predict)
app.command()(sessions.report)
app.command("sessions")(sessions.sessions)
app.command()(sessions.export)
app.command()(sessions.restore)
app.command()(sessions.forget)
app.command()(train)
app.command()(evaluate)
app.command()(calibrate)
app.command("import-backbone")(import_backbone)
app.command("fit-metric")(fit_metric)
app.command("learned-from")(learned_from)
app.command("compile")(compile_loops)
app.add_typer(keys, name="keys")


def main() -> None:
    """Run a command; a refusal is one line on standard error and exit status 1.

    Files that are left out of a data set are told in one line, too.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show
            app()
    except InklingError as refusal:
        _end(str(refusal))
    except FileNotFoundError as missing:
        _end(f"{missing.filename}: no such file")
    except ModuleNotFoundError as missing:
        if (missing.name or "inkling").partition(".")[0] == "inkling":
            raise
        _end(f"{missing}: this command needs pip install 'inkling[server,train]'")


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    text = f"inkling: {message}\n"
    if not issubclass(category, FilesLeftOut):
        text = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(text)


def _end(message: str) -> NoReturn:
    sys.stderr.write(f"inkling: {message}\n")
    raise SystemExit(1)
