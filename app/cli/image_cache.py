"""Where commands keep the preprocessed photographs of a data set, so that memory need not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Folder that keeps photographs as the network reads them, about 150 kB each; what was "
        "not used for 30 days is removed [inkling/images in $XDG_CACHE_HOME or ~/.cache].",
    ),
]


def cache_folder(given: Path | None) -> Path:
    """The folder that was asked for, or that of the user."""
    if given is not None:
        return given
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inkling" / "images"
