"""What is left out of folders and archives, counted, so that nothing goes in silence."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from .kinds import Kind

SHOWN = 3
"""Files of a kind that are named."""


class FilesLeftOut(UserWarning):
    """Files in a folder or archive that are not among the images that were taken from it."""


class LeftOut:
    """Paths that were left out, by what they are."""

    def __init__(self) -> None:
        self._paths: dict[Kind, list[PurePosixPath]] = {}

    def note(self, path: PurePosixPath, kind: Kind) -> None:
        """Count a file."""
        self._paths.setdefault(kind, []).append(path)

    def listed(self, below: PurePosixPath | None = None) -> str:
        """What was left out, of one folder or of all, or ""."""
        chosen = {
            kind: [path for path in paths if below is None or path.is_relative_to(below)]
            for kind, paths in self._paths.items()
        }
        return ", ".join(_listed(kind, paths) for kind, paths in chosen.items() if paths)

    def told(self, root: Path) -> str | None:
        """A sentence on all that was left out of ``root``; None where nothing was."""
        total = sum(map(len, self._paths.values()))
        return f"{root}: left out {total:,}: {self.listed()}" if total else None


def _listed(kind: Kind, paths: list[PurePosixPath]) -> str:
    names = ", ".join(repr(str(path)) for path in paths[:SHOWN])
    more = ", ..." if len(paths) > SHOWN else ""
    advice = f"; {kind.advice}" if kind.advice else ""
    return f"{kind.name} ({len(paths):,}: {names}{more}{advice})"
