"""What tests of checkpoints share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from inkling.checkpoints.catalogue import find_checkpoint


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the shipped checkpoint, which tests may change."""
    shutil.copytree(find_checkpoint("omniglot"), tmp_path / "copy")
    return tmp_path / "copy"
