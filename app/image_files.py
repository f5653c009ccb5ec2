"""The image files in a folder or a zip archive, for data sets and for the client.

Needs the standard library alone.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import BadData

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})
MAX_FILE_BYTES = 32 * 2**20
"""Of one image, unpacked from an archive."""
ENCRYPTED = 1


@dataclass(frozen=True)
class ImageFiles:
    """What lies below a folder or in an archive, by paths relative to it, in their order.

    ``folders`` are those that it names; ``images`` have their bytes, each read when it is asked
    for. Hidden files and folders, and `__MACOSX`, are left out.
    """

    folders: list[PurePosixPath]
    images: Iterator[tuple[PurePosixPath, bytes]]


def image_files(root: Path) -> ImageFiles:
    """List the images in a folder or a zip archive.

    Raises BadData for a path that is neither, and for an archive that is damaged or has absolute
    paths, `..`, links, encrypted members, archives in it, or an image of more than
    `MAX_FILE_BYTES`; what is wrong with a member is told when it is read.
    """
    if root.is_dir():
        return _in_folder(root)
    if zipfile.is_zipfile(root):
        return _in_archive(root)
    raise BadData(f"expected a folder or a zip archive, got {root}")


def is_image(path: PurePosixPath) -> bool:
    """Tell by its path whether a file is an image that is not hidden."""
    return path.suffix.lower() in SUFFIXES and not _is_hidden(path)


def _in_folder(root: Path) -> ImageFiles:
    paths = [
        (PurePosixPath(path.relative_to(root).as_posix()), path) for path in sorted(root.rglob("*"))
    ]
    return ImageFiles(
        [inside for inside, path in paths if path.is_dir() and not _is_hidden(inside)],
        (
            (inside, path.read_bytes())
            for inside, path in paths
            if is_image(inside) and path.is_file()
        ),
    )


def _in_archive(root: Path) -> ImageFiles:
    with zipfile.ZipFile(root) as archive:
        members = sorted(archive.infolist(), key=lambda member: member.filename)
    for member in members:
        _check_path(root, member)
    folders = [PurePosixPath(member.filename) for member in members if member.is_dir()]
    images = [
        member
        for member in members
        if not member.is_dir() and is_image(PurePosixPath(member.filename))
    ]
    return ImageFiles([path for path in folders if not _is_hidden(path)], _members(root, images))


def _check_path(root: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
        raise BadData(f"{root}: expected paths inside the archive, got {member.filename!r}")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise BadData(f"{root}: expected files, got the link {member.filename!r}")
    if path.suffix.lower() == ".zip" and not _is_hidden(path):
        raise BadData(f"{root}: expected no archive in it, got {member.filename!r}")


def _members(root: Path, members: list[zipfile.ZipInfo]) -> Iterator[tuple[PurePosixPath, bytes]]:
    with zipfile.ZipFile(root) as archive:
        for member in members:
            if member.flag_bits & ENCRYPTED:
                raise BadData(f"{root}: {member.filename!r} is encrypted")
            try:
                with archive.open(member) as file:
                    content = file.read(MAX_FILE_BYTES + 1)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as broken:
                raise BadData(f"{root}: {member.filename!r} cannot be read: {broken}") from None
            if len(content) > MAX_FILE_BYTES:
                raise BadData(f"{root}: {member.filename!r} has more than {MAX_FILE_BYTES:,} bytes")
            yield PurePosixPath(member.filename), content


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
