"""Checkpoints from published weights: refused unless they are the right ones, and servable."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import get_args

import pytest
import torch
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint
from inkling.checkpoints.tensor_files import encode_tensors
from inkling.cli.app import app
from inkling.cli.import_backbone import BackboneName
from inkling.engine.engine import Engine
from inkling.engine.work import Queries, SupportSet
from inkling.errors import BadCheckpoint, BadData
from inkling.images.decode import decode
from inkling.networks import published
from inkling.networks.efficientnet_lite import EfficientNetLite
from inkling.training.backbone import import_backbone
from typer.testing import CliRunner

from ..networks.published_states import efficientnet_lite, in_timms_names, torchvision_model


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file like the published one, which counts as it here."""
    path = tmp_path / "efficientnet-lite0.pth"
    torch.save(efficientnet_lite(EfficientNetLite(0)), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(published.SHA256, "efficientnet_lite0", digest)
    return path


def told(*arguments: object) -> str:
    """What the command says that makes a checkpoint."""
    words = ["import-backbone", *map(str, arguments)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture
def imported(weights: Path, tmp_path: Path) -> Path:
    """The checkpoint that the command makes of it."""
    told(weights, tmp_path / "lite", "--name", "lite")
    return tmp_path / "lite"


@pytest.fixture
def mobile(tmp_path: Path) -> Path:
    """A checkpoint of timm's small MobileNetV3, from safetensors of a given sha256."""
    path, name = tmp_path / "model.safetensors", "mobilenet_v3_small"
    state = in_timms_names(name, torchvision_model(name, epsilon=1e-5).state_dict())
    path.write_bytes(encode_tensors(state))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    made = tmp_path / "mobile"
    told(path, made, "--network", name, "--sha256", digest, "--name", "small")
    return made


def check_serving(loaded: Checkpoint, photographs: list[bytes]) -> None:
    """It learns from three classes, and tells one query the same alone and among others."""
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


def test_features_are_kept_in_place_of_photographs(
    imported: Path, photographs: list[bytes]
) -> None:
    engine = Engine(device=torch.device("cpu"), workers=2, queue_limit=10)
    try:
        handle = engine.load(load_checkpoint(imported))
        rgba = [decode(content, handle.preprocessing.useful_side) for content in photographs[:4]]
        labels = torch.tensor([0, 1, 2, 0])
        for n_views in (1, handle.n_views, handle.allowed_views[-1]):
            whole = SupportSet(handle.preprocessing.prepare(rgba), labels, 3, n_views=n_views)
            together = engine.adapt(handle, whole).result()
            assert together.kept.shape == (4, n_views, 2688)
            assert together.kept.dtype == torch.float16
            later = SupportSet(
                handle.preprocessing.prepare(rgba[3:]), labels, 3, together.kept[:3], n_views
            )
            added = engine.adapt(handle, later).result()
            assert torch.equal(added.kept, together.kept[3:])
            for name, tensor in together.adapted.items():
                assert torch.equal(added.adapted[name], tensor)
    finally:
        engine.close()


def test_weights_are_halved_on_request(weights: Path, tmp_path: Path) -> None:
    told(weights, tmp_path / "half", "--name", "half", "--half")
    told(weights, tmp_path / "full", "--name", "full")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.52 * sizes[1]
    half, full = (load_checkpoint(tmp_path / name) for name in ("half", "full"))
    assert half.identity != full.identity
    for name, tensor in full.initialization.params.items():
        found = half.initialization.params[name]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, tensor, rtol=1e-3, atol=1e-6)
    assert torch.equal(half.further_views, full.further_views)


def test_an_imported_backbone_is_served(imported: Path, photographs: list[bytes]) -> None:
    loaded = load_checkpoint(imported)
    assert loaded.name == "lite"
    assert loaded.config.preprocessing.options() == {"size": 224, "mean": 127.0, "std": 128.0}
    assert loaded.config.provenance.n_classes == 1000
    check_serving(loaded, photographs)


@pytest.mark.parametrize(
    ("backbone", "network"),
    [
        ("resnet18", {"depth": 18, "image_size": 224}),
        ("resnet50", {"depth": 50, "image_size": 224}),
        ("mobilenet_v3_large", {"variant": "large", "image_size": 224, "epsilon": 1e-3}),
    ],
)
def test_torchvisions_backbones_are_served(
    backbone: str, network: dict[str, object], tmp_path: Path, photographs: list[bytes]
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(torchvision_model(backbone).state_dict(), path)
    told(path, tmp_path / "made", "--network", backbone)
    loaded = load_checkpoint(tmp_path / "made")
    assert loaded.name == backbone
    assert loaded.config.network.options() == network
    assert loaded.config.preprocessing.options() == {
        "size": 224,
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
    }
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.config.provenance.recipe_sha256 == digest
    check_serving(loaded, photographs)


def test_timms_backbone_is_served_from_safetensors(mobile: Path, photographs: list[bytes]) -> None:
    loaded = load_checkpoint(mobile)
    assert loaded.name == "small"
    assert loaded.config.network.options()["epsilon"] == 1e-5
    check_serving(loaded, photographs)


def test_the_command_offers_every_backbone_there_is() -> None:
    assert set(get_args(BackboneName)) == set(published.BACKBONES)


def test_a_file_that_is_not_the_published_one_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(b"not a state dict")
    with pytest.raises(BadData, match="expected weights of efficientnet_lite0 of sha256 5793"):
        import_backbone(path, "efficientnet_lite0", tmp_path / "lite", "lite")
    with pytest.raises(BadData, match="expected weights of resnet18 of sha256 0123, got"):
        import_backbone(path, "resnet18", tmp_path / "lite", "lite", sha256="0123")
    with pytest.raises(BadData, match="expected a file of published weights"):
        import_backbone(tmp_path / "none.pth", "resnet18", tmp_path / "lite", "lite")
    assert not (tmp_path / "lite").exists()


@pytest.mark.parametrize(
    ("saved", "told_of"),
    [
        ([torch.zeros(1)], "expected a state dict, got list"),
        ({"state_dict": {}, "epoch": 3}, "got other things as state_dict, epoch"),
        (Fraction(1, 2), "a state dict of tensors alone, as torch saves it: Weights only"),
    ],
    ids=["list", "nested", "object"],
)
def test_files_of_other_things_are_refused(saved: object, told_of: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(saved, path)
    with pytest.raises(BadData, match=told_of):
        import_backbone(path, "resnet18", tmp_path / "made", "made")


@pytest.mark.parametrize("content", [b"", b"not a state dict", b"PK\x03\x04 cut off"])
def test_damaged_files_are_refused(content: bytes, tmp_path: Path) -> None:
    for name, error in (("weights.pth", BadData), ("weights.safetensors", BadCheckpoint)):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(error, match=f"{name}: expected a"):
            import_backbone(path, "resnet18", tmp_path / "made", "made")
