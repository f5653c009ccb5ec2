"""Where rows of figures go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def write_rows(rows: Sequence[DataclassInstance], path: Path | None) -> None:
    """Write rows as JSON, to standard output where no file is named."""
    text = json.dumps([asdict(row) for row in rows], indent=1)
    if path is None:
        print(text)
    else:
        path.write_text(text + "\n")
