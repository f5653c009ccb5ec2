"""A folder or zip archive with a folder per class, as a support set for the client."""

from __future__ import annotations

import stat
import zipfile
import zlib
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
    that is neither, for images outside a folder of a class, folders without images, two folders of
    one name, and for archives that are damaged, or have absolute paths, `..`, links, encrypted
    members, archives in them, or more than the bounds of this module.
    """
    root = Path(path)
    if root.is_dir():
        folders, files = _in_folder(root)
    elif zipfile.is_zipfile(root):
        folders, files = _in_archive(root)
    else:
        raise BadData(f"expected a folder or a zip archive, got {root}")
    found: dict[PurePosixPath, list[bytes]] = {}
    total = 0
    for number, (place, content) in enumerate(files, start=1):
        total += len(content)
        if number > MAX_FILES or total > MAX_BYTES:
            raise BadData(f"{root}: expected at most {MAX_FILES:,} images of {MAX_BYTES:,} bytes")
        if len(place.parts) < 2:
            raise BadData(f"{root}: expected images in a folder for each class, got {place}")
        found.setdefault(place.parent, []).append(content)
    if not found:
        raise BadData(f"{root}: expected images, got none")
    if empty := [each for each in folders if not any(each in (f, *f.parents) for f in found)]:
        raise BadData(f"{root}: expected images in every folder, got none in {empty[0]}")
    by_label = {folder.name: images for folder, images in found.items()}
    if len(by_label) < len(found):
        raise BadData(
            f"{root}: expected folders of different names, got {', '.join(map(str, found))}"
        )
    return by_label


Files = Iterator[tuple[PurePosixPath, bytes]]


def _in_folder(root: Path) -> tuple[list[PurePosixPath], Files]:
    """The folders below a folder, and its images."""
    places = [
        (PurePosixPath(path.relative_to(root).as_posix()), path) for path in sorted(root.rglob("*"))
    ]
    folders = [place for place, path in places if path.is_dir() and not _is_hidden(place)]
    images = (
        (place, path.read_bytes()) for place, path in places if _is_image(place) and path.is_file()
    )
    return folders, images


def _in_archive(root: Path) -> tuple[list[PurePosixPath], Files]:
    """The folders that an archive names, and its images."""
    with zipfile.ZipFile(root) as archive:
        members = sorted(archive.infolist(), key=lambda member: member.filename)
    for member in members:
        place = PurePosixPath(member.filename)
        if place.is_absolute() or ".." in place.parts or "\\" in member.filename:
            raise BadData(f"{root}: expected paths inside the archive, got {member.filename!r}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BadData(f"{root}: expected files, got the link {member.filename!r}")
        if place.suffix.lower() == ".zip" and not _is_hidden(place):
            raise BadData(f"{root}: expected no archive in it, got {member.filename!r}")
    places = [PurePosixPath(member.filename) for member in members if member.is_dir()]
    return [place for place in places if not _is_hidden(place)], _members(root, members)


def _members(root: Path, members: list[zipfile.ZipInfo]) -> Files:
    with zipfile.ZipFile(root) as archive:
        for member in members:
            place = PurePosixPath(member.filename)
            if member.is_dir() or not _is_image(place):
                continue
            if member.flag_bits & ENCRYPTED:
                raise BadData(f"{root}: {member.filename!r} is encrypted")
            try:
                with archive.open(member) as file:
                    content = file.read(MAX_FILE_BYTES + 1)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as broken:
                raise BadData(f"{root}: {member.filename!r} cannot be read: {broken}") from None
            if len(content) > MAX_FILE_BYTES:
                raise BadData(f"{root}: {member.filename!r} has more than {MAX_FILE_BYTES:,} bytes")
            yield place, content


def _is_hidden(place: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in place.parts)


def _is_image(place: PurePosixPath) -> bool:
    return place.suffix.lower() in SUFFIXES and not _is_hidden(place)
