"""Disks that are small, full or read-only."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SMALL_DISK_BYTES = 40 * 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs to mount a file system, which root may")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607


@contextlib.contextmanager
def files_that_cannot_grow(n_bytes: int = 0) -> Iterator[None]:
    """No file of this process can be written beyond some bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], Callable[[], None]]]:
    """Makes a folder and its files read-only; what it gives makes them writable again."""
    undo = contextlib.ExitStack()

    def make(folder: Path) -> Callable[[], None]:
        if os.geteuid():
            paths = [folder, *folder.iterdir()]
            modes = [path.stat().st_mode for path in paths]
            for path, mode in zip(paths, modes, strict=True):
                path.chmod(mode & 0o555)

            def back() -> None:
                for path, mode in zip(paths, modes, strict=True):
                    path.chmod(mode)
        else:  # root may write whatever the mode says
            mounted = str(folder)
            bind = ["mount", "--bind", mounted, mounted]
            if subprocess.run(bind, check=False).returncode:
                pytest.skip("root needs to mount a file system for it")
            subprocess.run(["mount", "-o", "remount,ro,bind", mounted], check=True)  # noqa: S607

            def back() -> None:
                subprocess.run(["umount", "--lazy", mounted], check=True)  # noqa: S607

        undo.callback(back)
        return undo.close

    with undo:
        yield make
