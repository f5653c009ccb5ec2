"""Where initializations are found: by path, or by name among those that ship with Inkling."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..errors import BadCheckpoint
from .checkpoint import CONFIG_FILE

DEFAULTS = ("photos", "omniglot")
_PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = (_PACKAGE / "models", _PACKAGE.parent / "models")
"""In an installed package, and beside the package in a source tree."""


def find_checkpoint(name_or_path: str) -> Path:
    """The folder of a checkpoint; a shipped name goes before a folder of the same name.

    A leading `~` is the home folder. Raises BadCheckpoint that lists what there is.
    """
    shipped = shipped_checkpoints()
    if name_or_path in shipped:
        return shipped[name_or_path]
    with contextlib.suppress(RuntimeError):  # somebody without a home folder
        path = Path(name_or_path).expanduser()
        if (path / CONFIG_FILE).is_file():
            return path
    raise BadCheckpoint(
        f"expected a checkpoint folder or one of {', '.join(shipped) or 'none shipped'}, "
        f"got {name_or_path!r}"
    )


def shipped_checkpoints() -> dict[str, Path]:
    """Names and folders of the initializations that ship with this installation."""
    for root in SHIPPED:
        if root.is_dir():
            return {
                config.parent.name: config.parent
                for config in sorted(root.glob(f"*/{CONFIG_FILE}"))
            }
    return {}
