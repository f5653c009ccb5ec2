"""Checkpoints from published weights: refused unless they are the right ones, and servable."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from inkling.checkpoints.checkpoint import load_checkpoint
from inkling.cli.app import app
from inkling.engine.engine import Engine
from inkling.engine.work import Queries, SupportSet
from inkling.errors import BadData
from inkling.images.decode import decode
from inkling.networks import published
from inkling.networks.efficientnet_lite import EfficientNetLite
from inkling.training import backbone
from typer.testing import CliRunner

from ..networks.test_efficientnet_lite import published_state


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file like the published one, which counts as it here."""
    path = tmp_path / "efficientnet-lite0.pth"
    torch.save(published_state(EfficientNetLite(0)), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(published.SHA256, 0, digest)
    return path


@pytest.fixture
def imported(weights: Path, tmp_path: Path) -> Path:
    """The checkpoint that the command makes of it."""
    arguments = ["import-backbone", str(weights), str(tmp_path / "lite"), "--name", "lite"]
    told = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert told.exit_code == 0
    return tmp_path / "lite"


def test_an_imported_backbone_is_served(imported: Path, photographs: list[bytes]) -> None:
    loaded = load_checkpoint(imported)
    assert loaded.name == "lite"
    engine = Engine(device=torch.device("cpu"), workers=2, queue_limit=10)
    try:
        handle = engine.load(loaded)
        rgba = [decode(content, handle.preprocessing.useful_side) for content in photographs[:4]]
        prepared = handle.preprocessing.prepare(rgba)
        support = SupportSet(prepared, torch.tensor([0, 1, 2, 0]), 3)
        adaptation = engine.adapt(handle, support).result()
        assert adaptation.losses[-1] < adaptation.losses[0]
        queries = Queries(prepared, adaptation.adapted, (2, 1, 1))
        scores = engine.predict(handle, queries).result().scores
        alone = handle.preprocessing.prepare(rgba[1:2])
        by_itself = engine.predict(handle, Queries(alone, adaptation.adapted, (2, 1, 1))).result()
        assert by_itself.scores[0][0] == pytest.approx(scores[1][0], abs=1e-5)
    finally:
        engine.close()


def test_a_file_that_is_not_the_published_one_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(b"not a state dict")
    with pytest.raises(BadData, match="expected the published weights of EfficientNet-Lite0"):
        backbone.import_backbone(path, 0, tmp_path / "lite", "lite")
    with pytest.raises(BadData, match="expected a file of published weights"):
        backbone.import_backbone(tmp_path / "none.pth", 0, tmp_path / "lite", "lite")
    assert not (tmp_path / "lite").exists()
