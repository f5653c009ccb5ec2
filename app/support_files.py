"""A folder or zip archive with a folder per class, as a support set for the client."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from .errors import BadData

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})
MAX_FILES = 10_000
MAX_FILE_BYTES = 32 * 2**20
MAX_BYTES = 512 * 2**20
"""Of all images together, unpacked."""
ENCRYPTED = 1


def support_of(path: str | Path) -> dict[str, list[bytes]]:
    """Images by the name of the folder that they lie in.

    Other files, dot-files and what macOS adds to archives are left out. Raises BadData for a path
    that is neither, for images outside a folder of a class, and for archives with absolute paths,
    `..`, links, encrypted members, or more than the bounds of this module.
    """
    root = Path(path)
    if root.is_dir():
        files = _in_folder(root)
    elif zipfile.is_zipfile(root):
        files = _in_archive(root)
    else:
        raise BadData(f"expected a folder or a zip archive, got {root}")
    found: dict[str, list[bytes]] = {}
    total = 0
    for number, (place, content) in enumerate(files, start=1):
        total += len(content)
        if number > MAX_FILES or total > MAX_BYTES:
            raise BadData(f"{root}: expected at most {MAX_FILES:,} images of {MAX_BYTES:,} bytes")
        if len(place.parts) < 2:
            raise BadData(f"{root}: expected images in a folder for each class, got {place}")
        found.setdefault(place.parent.name, []).append(content)
    if not found:
        raise BadData(f"{root}: expected images, got none")
    return found


def _in_folder(root: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    for path in sorted(root.rglob("*")):
        place = PurePosixPath(path.relative_to(root).as_posix())
        if _is_image(place) and path.is_file():
            yield place, path.read_bytes()


def _in_archive(root: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    with zipfile.ZipFile(root) as archive:
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            place = PurePosixPath(member.filename)
            if place.is_absolute() or ".." in place.parts or "\\" in member.filename:
                raise BadData(f"{root}: expected paths inside the archive, got {member.filename!r}")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise BadData(f"{root}: expected files, got the link {member.filename!r}")
            if member.is_dir() or not _is_image(place):
                continue
            if member.flag_bits & ENCRYPTED:
                raise BadData(f"{root}: {member.filename!r} is encrypted")
            with archive.open(member) as file:
                content = file.read(MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                raise BadData(f"{root}: {member.filename!r} has more than {MAX_FILE_BYTES:,} bytes")
            yield place, content


def _is_image(place: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in place.parts)
    return place.suffix.lower() in SUFFIXES and not hidden
