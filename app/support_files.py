"""A folder or zip archive with a folder per class, as a support set for the client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from .errors import BadData
from .image_files import image_files

MAX_FILES = 10_000
MAX_BYTES = 512 * 2**20
"""Of all images together, unpacked."""


def support_of(path: str | Path) -> dict[str, list[bytes]]:
    """Images by the name of the folder that they lie in.

    Other files, dot-files and what macOS adds to archives are left out. Raises BadData for what
    `image_files` refuses, for images outside a folder of a class, folders without images, two
    folders of one name, and for more than the bounds of this module.
    """
    root = Path(path)
    files = image_files(root)
    by_folder: dict[PurePosixPath, list[bytes]] = {}
    for image, content in _within_bounds(root, files.images):
        if len(image.parts) < 2:
            raise BadData(f"{root}: expected images in a folder for each class, got {image}")
        by_folder.setdefault(image.parent, []).append(content)
    if not by_folder:
        raise BadData(f"{root}: expected images, got none")
    with_images = set(by_folder).union(*(folder.parents for folder in by_folder))
    if empty := [folder for folder in files.folders if folder not in with_images]:
        raise BadData(f"{root}: expected images in every folder, got none in {empty[0]}")
    by_label = {folder.name: images for folder, images in by_folder.items()}
    if len(by_label) < len(by_folder):
        raise BadData(
            f"{root}: expected folders of different names, got {', '.join(map(str, by_folder))}"
        )
    return by_label


def _within_bounds(
    root: Path, images: Iterable[tuple[PurePosixPath, bytes]]
) -> Iterator[tuple[PurePosixPath, bytes]]:
    total = 0
    for count, (image, content) in enumerate(images, start=1):
        total += len(content)
        if count > MAX_FILES or total > MAX_BYTES:
            raise BadData(f"{root}: expected at most {MAX_FILES:,} images of {MAX_BYTES:,} bytes")
        yield image, content
