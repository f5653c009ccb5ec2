"""Zip archives as other systems write them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path


def archive(path: Path, members: dict[str, bytes]) -> Path:
    """An archive of names in UTF-8 with slashes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def with_raw_names(path: Path, members: Iterable[tuple[bytes, bytes]]) -> Path:
    """An archive whose names are these bytes, of which it does not say what letters they are."""
    stand_ins = list[tuple[bytes, bytes]]()
    with zipfile.ZipFile(path, "w") as made:
        for number, (name, content) in enumerate(members):
            stand_in = f"{number:03}".rjust(len(name), "~")
            stand_ins.append((stand_in.encode(), name))
            made.writestr(stand_in, content)
    packed = path.read_bytes()
    for written, name in stand_ins:
        packed = packed.replace(written, name)
    path.write_bytes(packed)
    return path
