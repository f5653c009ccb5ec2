"""Photographs of many domains: `PATH/<split>/<domain>/<class>/<image>`.

A split may be a zip archive `<split>.zip`, whose name may have something in front; its paths
begin with the domain, or with one folder around all of them. Classes of a domain are told apart
from each other, never from those of another domain: a domain is the group of its classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..errors import BadData
from ..image_files import image_files
from .sources import EncodedClass, Split, grouped

DEPTH = 3
"""Domain, class and file."""


def read(path: Path, split: Split) -> Iterator[EncodedClass]:
    """Yield the classes of one split, named `<domain>/<class>`, in order.

    Raises BadData when there is no such split, or when an image lies elsewhere than in a class
    of a domain.
    """
    root = _find(path, split)
    files = iter(image_files(root).images)
    first = next(files, None)
    if first is None:
        raise BadData(f"expected images in {root}, found none")
    around = len(first[0].parts) - DEPTH

    def checked() -> Iterator[tuple[PurePosixPath, bytes]]:
        yield first
        for inside, content in files:
            if len(inside.parts) != DEPTH + around:
                raise BadData(f"{root}: expected <domain>/<class>/<image>, got {inside}")
            yield inside, content

    if around not in (0, 1):
        raise BadData(f"{root}: expected <domain>/<class>/<image>, got {first[0]}")
    yield from grouped(checked(), around)


def _find(path: Path, split: Split) -> Path:
    for candidate in [path / split, *sorted(path.glob(f"*{split}.zip"))]:
        if candidate.exists():
            return candidate
    raise BadData(f"expected a folder {split} or an archive {split}.zip in {path}, found neither")
