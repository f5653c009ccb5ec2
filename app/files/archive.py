"""A zip archive as a tree of files, whatever program wrote it.

Nothing is written to disk. Names are UTF-8 where they say so or can be; those of folders that may
be in any other encoding are refused, since they are labels. A back slash divides folders, as in
archives of Windows.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from ..errors import BadData
from .tree import HIDDEN, File, Tree, left_by_a_system

MAX_FILE_BYTES = 32 * 2**20
"""Of one image, unpacked."""
FREE_BYTES, MAX_RATIO = 512 * 2**20, 100
"""All files together may unpack to the first, and to more by the second times the archive."""
MAX_MEMBERS = 2_000_000
ENCRYPTED, SAYS_UTF_8 = 0x1, 0x800
"""Flags of a member."""
UNICODE_PATH = 0x7075
"""The extra field of Info-ZIP that holds a name in UTF-8."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Others unpack without a bound."""
DRIVE = re.compile(r"[A-Za-z]:")
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, OSError, ValueError, NotImplementedError),
)


@contextmanager
def archive_tree(root: Path) -> Iterator[Tree]:
    """What is in a zip archive, which stays open meanwhile.

    Raises BadData for an archive that is damaged or has absolute paths, `..`, a path twice, links,
    encrypted members, names of folders in an unknown encoding, or more than the bounds of this
    module; and when an image is read that is
    damaged, packed by another method than deflation, or has more than `MAX_FILE_BYTES`.
    """
    tree, members = Tree(root), dict[PurePosixPath, zipfile.ZipInfo]()
    folders, hidden = set[PurePosixPath](), set[PurePosixPath]()
    with _opened(root) as archive:
        _check_bounds(root, archive.infolist())
        for member in archive.infolist():
            name = _name(root, member)
            path = PurePosixPath(name)
            if any(map(left_by_a_system, path.parts)):
                continue
            is_folder = name.endswith("/")
            around = [*reversed(path.parents[:-1]), *([path] if is_folder else [])]
            unseen = next((folder for folder in around if folder.name.startswith(".")), None)
            if unseen is not None:
                hidden.add(unseen)
                continue
            folders.update(around)
            if not is_folder:
                _check(root, member, path)
                if members.setdefault(path, member) is not member:
                    raise BadData(f"{root}: expected each path once, got {str(path)!r} twice")
        tree.folders += folders
        tree.files += [
            File(path, member.file_size, partial(_first, root, archive, (path, member)))
            for path, member in members.items()
        ]
        tree.unread += [(path, HIDDEN) for path in hidden]
        tree.sort()
        yield tree


def _opened(root: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(root)
    except NotImplementedError:
        raise BadData(f"{root}: the archive is of a newer kind than is read here") from None
    except _BROKEN:
        raise BadData(f"{root}: the archive is damaged, or was not copied to its end") from None


def _check_bounds(root: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        raise BadData(f"{root}: expected at most {MAX_MEMBERS:,} files, got {len(members):,}")
    unpacked, packed = sum(member.file_size for member in members), root.stat().st_size
    if unpacked > max(FREE_BYTES, MAX_RATIO * packed):
        raise BadData(
            f"{root}: expected an archive of images, got one of {packed:,} bytes that unpacks to "
            f"{unpacked:,}"
        )


def _name(root: Path, member: zipfile.ZipInfo) -> str:
    """A member's path with slashes. Raises BadData for one that is not below the archive."""
    raw = member.orig_filename.encode("utf-8" if member.flag_bits & SAYS_UTF_8 else "cp437")
    raw = (_unicode_path(member.extra, raw) or raw).replace(b"\\", b"/")
    name = raw.decode("utf-8", "backslashreplace")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or DRIVE.match(name) or "\0" in name:
        raise BadData(f"{root}: expected paths inside the archive, got {name!r}")
    folders = raw.rpartition(b"/")[0]
    if folders.decode("utf-8", "replace").encode() != folders:
        raise BadData(
            f"{root}: expected names of folders in UTF-8, got {folders!r}, of which the archive "
            "does not say what letters they are; pack it anew by a program that writes UTF-8 "
            "(such as 7-Zip), or unpack it and give the folder"
        )
    return name


def _unicode_path(extra: bytes, raw: bytes) -> bytes | None:
    """The name in UTF-8 that a member has beside ``raw``, if it belongs to that."""
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        value, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and value[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
            return value[5:]
    return None


def _check(root: Path, member: zipfile.ZipInfo, path: PurePosixPath) -> None:
    if stat.S_ISLNK(member.external_attr >> 16):
        raise BadData(f"{root}: expected files, got the link {str(path)!r}")
    if member.flag_bits & ENCRYPTED:
        raise BadData(f"{root}: expected an archive without a password, {str(path)!r} has one")


def _first(
    root: Path, archive: zipfile.ZipFile, named: tuple[PurePosixPath, zipfile.ZipInfo], size: int
) -> bytes:
    path, member = named
    shown = f"{root}: {str(path)!r}"
    if member.compress_type not in METHODS:
        raise BadData(
            f"{shown} is packed by a method that is not read; pack the archive by deflation"
        )
    if size < 0 and member.file_size > MAX_FILE_BYTES:
        raise BadData(f"{shown} has more than {MAX_FILE_BYTES:,} bytes")
    try:
        with archive.open(member) as file:
            return file.read(size)
    except _BROKEN:
        raise BadData(f"{shown} cannot be read: the archive is damaged") from None
