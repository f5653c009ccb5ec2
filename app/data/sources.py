"""What a data set is before its images are decoded: classes of encoded image files.

A class belongs to a group (an alphabet, say) when its data set has such a thing; classes of one
group are never divided between learning and selection.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import BadData

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})


@dataclass(frozen=True)
class EncodedClass:
    """One class: its name, its group (or ""), and its images as `(file name, bytes)`."""

    name: str
    group: str
    files: tuple[tuple[str, bytes], ...]


def walk(root: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield the image files under a folder or inside a zip archive, in the order of their paths.

    Paths are relative to the folder or archive. Hidden files and `__MACOSX` are left out.
    """
    if root.is_dir():
        for path in sorted(root.rglob("*")):
            relative = PurePosixPath(path.relative_to(root).as_posix())
            if path.is_file() and is_image(relative):
                yield relative, path.read_bytes()
    elif zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as archive:
            for name in sorted(archive.namelist()):
                if is_image(PurePosixPath(name)):
                    yield PurePosixPath(name), archive.read(name)
    else:
        raise BadData(f"expected a folder or a zip archive, got {root}")


def grouped(files: Iterator[tuple[PurePosixPath, bytes]], strip: int = 0) -> Iterator[EncodedClass]:
    """Gather files in path order into classes: the folder that holds a file is its class.

    The ``strip`` first folders of each path are left out of names; what is left above the class
    folder is its group.
    """
    folder: PurePosixPath | None = None
    members: list[tuple[str, bytes]] = []
    for path, content in files:
        inside = PurePosixPath(*path.parts[strip:])
        if inside.parent != folder and folder is not None:
            yield _encoded_class(folder, members)
            members = []
        folder = inside.parent
        members.append((inside.name, content))
    if folder is not None:
        yield _encoded_class(folder, members)


def _encoded_class(folder: PurePosixPath, members: list[tuple[str, bytes]]) -> EncodedClass:
    group = folder.parent.as_posix()
    return EncodedClass(
        name=folder.as_posix(), group="" if group == "." else group, files=tuple(members)
    )


def is_image(path: PurePosixPath) -> bool:
    """Tell by its path whether a file is an image of a data set."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden
