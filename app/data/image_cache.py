"""A folder of preprocessed images, a file for each class, that outlives the process.

A file is named by what its images depend on: the bytes of the class's image files, and how they
were preprocessed. So it fits or it is not found, whoever wrote it, and a data set of which one
image changed has one class to preprocess again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from ..errors import BadData
from .stored_images import StoredImages, find_images, write_images

KEPT_SECONDS = 30 * 24 * 3600
"""After their last use files are removed, those that were never finished among them."""
OURS = re.compile(r"[0-9a-f]{64}\.(images|[a-z0-9_]{8}\.unfinished)")


class ImageCache:
    """Images by their sources. ``made_by`` is everything else that they depend on."""

    def __init__(self, folder: Path, made_by: str) -> None:
        self._folder, self._made_by = folder, made_by
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as refused:
            raise BadData(f"expected a folder for images, or a place for one: {refused}") from None
        _forget_unused(folder)

    def images(self, digests: Iterable[bytes], made: Iterable[torch.Tensor]) -> StoredImages:
        """The images that were made of the sources of these sha256 ``digests``, or now are.

        ``made`` are `(channel, height, width)` uint8 in the order of the sources, which are not
        asked for where there are such already. Raises BadData when they cannot be written.
        """
        path = self._folder / f"{self._key(digests)}.images"
        found = find_images(path)
        if found is None:
            self._write(path, made)
            found = find_images(path)
        if found is None:
            raise BadData(f"{path}: expected to read what was written, got something else")
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def _write(self, path: Path, made: Iterable[torch.Tensor]) -> None:
        """Write a file under another name, then rename it, so that none is ever half of one."""
        try:
            handle, name = tempfile.mkstemp(".unfinished", f"{path.stem}.", self._folder)
            os.close(handle)
            unfinished = Path(name)
            try:
                write_images(unfinished, made)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
        except OSError as failed:
            raise BadData(f"{self._folder}: images cannot be kept here: {failed}") from None

    def _key(self, digests: Iterable[bytes]) -> str:
        key = hashlib.sha256(self._made_by.encode())
        for digest in digests:
            key.update(digest)
        return key.hexdigest()


def _forget_unused(folder: Path) -> None:
    oldest = time.time() - KEPT_SECONDS
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):  # another process may be at it too
            if OURS.fullmatch(entry.name) and entry.stat().st_mtime < oldest:
                entry.unlink()
