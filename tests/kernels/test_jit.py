"""Machine code is kept from one process to the next, for each state of the sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
from inkling.kernels.jit import compiled

@compiled
def total(numbers):
    found = 0.0
    for number in numbers:
        found += number
    return found
"""
PROGRAM = """
import numpy, sums
print(sums.total(numpy.arange(5.0)), len(sums.total.stats.cache_hits))
"""


def run(folder: Path, base: Path) -> str:
    (folder / "sums.py").write_text(MODULE)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env={**os.environ, "NUMBA_CACHE_DIR": str(base)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_what_was_compiled_is_not_compiled_again(tmp_path: Path) -> None:
    assert run(tmp_path, tmp_path / "kept") == "10.0 0"
    assert run(tmp_path, tmp_path / "kept") == "10.0 1"


def test_without_a_place_to_keep_it_everything_works(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for _ in range(2):
        assert run(tmp_path, tmp_path / "file" / "kept") == "10.0 0"


@pytest.mark.parametrize("others", [1, 6])
def test_the_states_used_last_are_kept_and_nothing_else_is_touched(
    tmp_path: Path, others: int
) -> None:
    mine, foreign = tmp_path / "kept" / "inkling", tmp_path / "kept" / "0123456789abcdef"
    run(tmp_path, tmp_path / "kept")
    (state,) = mine.iterdir()
    os.utime(state, (0, 0))
    for folder in (foreign, mine / "sixteen_letters_"):
        folder.mkdir()
    for number in range(others):
        old = mine / f"{number:016x}"
        old.mkdir()
        os.utime(old, (number + 1, number + 1))
    assert run(tmp_path, tmp_path / "kept") == "10.0 1"
    assert foreign.is_dir()
    newest = [f"{number:016x}" for number in range(others)][-2:]
    assert {folder.name for folder in mine.iterdir()} == {state.name, "sixteen_letters_", *newest}
