"""A metric in closed form: what it evens out, and how it comes into a checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import load_checkpoint
from inkling.cli.app import app
from inkling.errors import BadData
from inkling.networks.efficientnet_lite import EfficientNetLite
from inkling.networks.metric import CENTRE, WEIGHT
from inkling.training.metric import PooledClass, fit_metric
from typer.testing import CliRunner

from .test_backbone import imported, mobile, weights

__all__ = ["imported", "mobile", "weights"]

METRIC = EfficientNetLite().metric


def spread(values: torch.Tensor) -> float:
    """How much wider the widest direction of rows is than the tenth of all."""
    deviations = torch.linalg.svdvals(values - values.mean(0))
    return float(deviations[0] / deviations[9])


def classes_of(groups: str, generator: torch.Generator) -> list[PooledClass]:
    """Classes of 20 rows, which differ within a class in one direction above all."""
    size = METRIC.size
    direction = torch.rand(size, generator=generator)
    return [
        PooledClass(
            group,
            1
            + torch.rand(size, generator=generator)
            + 0.1 * torch.rand((20, size), generator=generator)
            + torch.rand((20, 1), generator=generator) * direction,
        )
        for group in groups
    ]


def test_the_spread_within_classes_is_evened_out_and_the_mean_is_the_centre() -> None:
    classes = classes_of("aabb", torch.Generator().manual_seed(0))
    params = fit_metric(METRIC, classes)
    rooted = [METRIC.rooted(each.rows) for each in classes]
    torch.testing.assert_close(params[CENTRE], torch.cat(rooted).mean(0))
    assert params[WEIGHT].shape == (METRIC.before, METRIC.before)
    for values in rooted:
        assert spread(values @ params[WEIGHT]) < 0.7 * spread(values)


def test_groups_weigh_alike_however_many_classes_they_have() -> None:
    few, many = classes_of("ab", torch.Generator().manual_seed(0))
    params = fit_metric(METRIC, [few, many, many, many])
    means = [METRIC.rooted(each.rows).mean(0) for each in (few, many)]
    torch.testing.assert_close(params[CENTRE], (means[0] + means[1]) / 2)


def test_groups_of_single_images_are_refused() -> None:
    single = PooledClass("lonely", torch.rand(1, METRIC.size))
    with pytest.raises(BadData, match="lonely: expected a class of two images"):
        fit_metric(METRIC, [single])


@pytest.fixture(params=["imported", "mobile"])
def checkpoint_folder(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder


def test_a_checkpoint_takes_its_metric_from_domains(
    checkpoint_folder: Path, tmp_path: Path, photographs: list[bytes]
) -> None:
    for number, content in enumerate(photographs):
        folder = tmp_path / "data" / "train" / "groceries" / f"class{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(content)
    before = load_checkpoint(checkpoint_folder)
    arguments = ["fit-metric", str(checkpoint_folder), "--data", str(tmp_path / "data")]
    arguments += ["--cache", str(tmp_path / "cache")]
    with pytest.raises(BadData, match="to leave out, found none of groceries/fish"):
        CliRunner().invoke(
            app, [*arguments, "--leave-out", "groceries/fish"], catch_exceptions=False
        )
    arguments += ["--leave-out", "groceries/class2", "--licence", "MIT", "--description", "Food."]
    told = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "learned from 2 classes" in told.stdout
    after = load_checkpoint(checkpoint_folder)
    assert after.identity != before.identity
    assert after.config.provenance.n_classes == 1002
    assert after.config.provenance.data.endswith(", without groceries/class2")
    assert after.config.provenance.licence.endswith("MIT")
    assert after.config.description == "Food."
    changed = {
        name
        for name, tensor in after.initialization.params.items()
        if not torch.equal(tensor, before.initialization.params[name])
    }
    assert changed == METRIC.names()


def test_a_network_without_a_metric_is_refused(tmp_path: Path, photographs: list[bytes]) -> None:
    folder = tmp_path / "data" / "train" / "groceries" / "class"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(photographs[0])
    shutil.copytree(find_checkpoint("omniglot"), tmp_path / "copy")
    arguments = ["fit-metric", str(tmp_path / "copy"), "--data", str(tmp_path / "data")]
    with pytest.raises(BadData, match="expected a network with a metric"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
