"""The files in a folder or a zip archive, by paths relative to it.

What operating systems and file servers leave in folders is never among them; other hidden folders
are named, and not looked into.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from .kinds import HEAD_BYTES, Kind

LEFT_BY_SYSTEMS = frozenset(
    {
        *("__macosx", ".ds_store", ".appledouble", ".trashes", ".spotlight-v100", ".fseventsd"),
        *(".temporaryitems", ".documentrevisions-v100", "icon\r"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@tmp"),
        *("lost+found", ".thumbnails", ".ipynb_checkpoints", "__pycache__", ".git", ".svn", ".hg"),
    }
)
"""In lower case."""
BEGINNINGS_BY_SYSTEMS = ("._", ".trash-")

HIDDEN = Kind("hidden", "take the dot from the name")


@dataclass(frozen=True)
class File:
    """A file; ``size`` is in bytes, unpacked, as the folder or archive tells it.

    ``first`` reads so many bytes of its beginning, or all for -1; it raises BadData where it
    cannot.
    """

    path: PurePosixPath
    size: int
    first: Callable[[int], bytes]

    def head(self) -> bytes:
        """As many bytes as tell what it is."""
        return self.first(HEAD_BYTES)

    def content(self) -> bytes:
        """All of its bytes."""
        return self.first(-1)

    @property
    def hidden(self) -> bool:
        """Whether its name begins with a dot."""
        return self.path.name.startswith(".")


@dataclass
class Tree:
    """What lies in ``root``: folders and files, and what is neither read nor looked into."""

    root: Path
    folders: list[PurePosixPath] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    unread: list[tuple[PurePosixPath, Kind]] = field(default_factory=list)

    def sort(self) -> None:
        """Put all in the order of their paths, the files of a folder together."""
        self.folders.sort(key=lambda path: path.parts)
        self.files.sort(key=lambda file: (file.path.parent.parts, file.path.name))
        self.unread.sort()


def left_by_a_system(name: str) -> bool:
    """Tell by its name whether a file or folder was put there by no person."""
    lower = name.lower()
    return lower in LEFT_BY_SYSTEMS or lower.startswith(BEGINNINGS_BY_SYSTEMS)
