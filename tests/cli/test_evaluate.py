"""What `inkling evaluate` can be asked for beside one accuracy."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inkling.checkpoints.config import describe
from inkling.cli.app import app
from inkling.data.sources import DataFormat, EncodedClass
from inkling.errors import BadData, BadSetting
from inkling.networks.conv4 import Conv4
from PIL import Image
from typer.testing import CliRunner, Result


@pytest.fixture
def measure(tmp_path: Path, encoded: tuple[EncodedClass, ...]) -> list[str]:
    """The start of a command that measures the shipped initialization on a few characters."""
    splits = {"test": encoded[:6], "train": encoded[6:7], "validation": encoded[7:8]}
    for split, members in splits.items():
        for entry in members:
            folder = tmp_path / "data" / split / entry.name
            folder.mkdir(parents=True)
            for name, content in entry.files:
                (folder / name).write_bytes(content)
    options = "--data-format folders --n-way 4 --n-query 3 --episodes 6 --seed 2"
    return ["evaluate", "omniglot", "--data", str(tmp_path / "data"), *options.split()]


def invoked(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "200"})


def rows(*arguments: str) -> list[dict[str, object]]:
    done = invoked(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_curve_is_drawn_and_told_in_numbers(measure: list[str], tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    found = rows(*measure, "--n-shot", "1", "--n-shot", "2", "--curve", str(path))
    with Image.open(io.BytesIO(path.read_bytes())) as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(maxcolors=1_000_000) or []) > 20
    for row in found:
        curve = row["curve"]
        assert isinstance(curve, list)
        assert [point["steps"] for point in curve] == list(range(11))
        assert curve[5]["accuracy"] == row["accuracy"]
        assert curve[5]["interval"] == row["interval"]
        assert curve[0]["accuracy"] == row["zero_steps"]
    path.unlink()
    table = invoked(*measure, "--curve", str(path)).stdout
    assert "4-way 1-shot by inner step" in table
    assert path.exists()
    assert "curve" not in rows(*measure)[0]


@pytest.mark.parametrize(
    ("path", "told"), [("curve.pdf", "ending in .png"), ("nowhere/curve.png", "existing folder")]
)
def test_a_curve_that_cannot_be_written_is_refused_first(
    measure: list[str], tmp_path: Path, path: str, told: str
) -> None:
    done = invoked(*measure, "--curve", str(tmp_path / path))
    assert done.exit_code == 2
    assert told in done.output
    assert "reading" not in done.output


def test_transductive_results_say_so(measure: list[str], tmp_path: Path) -> None:
    (inductive,) = rows(*measure)
    (together,) = rows(*measure, "--transductive")
    assert (inductive["transductive"], together["transductive"]) == (False, True)
    path = tmp_path / "curve.png"
    table = invoked(*measure, "--transductive", "--curve", str(path)).stdout
    assert "omniglot, transductive: 4-way 1-shot" in table
    assert path.exists()
    assert "transductive" not in invoked(*measure).stdout


def test_a_network_that_normalises_each_image_is_not_measured_transductively(
    measure: list[str], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    network = replace(Conv4(), norm="group")
    config = checkpoint.config.model_copy(update={"network": describe("conv4", network)})
    kept = network.initialize(torch.Generator()).keys() | {"head.scale"}
    params = {name: checkpoint.initialization.params[name] for name in kept}
    save_checkpoint(tmp_path / "group", config, replace(checkpoint.initialization, params=params))
    command = ["evaluate", str(tmp_path / "group"), *measure[2:], "--transductive"]
    done = invoked(*command)
    assert done.exit_code == 2
    assert "nothing would change" in " ".join(done.output.split())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_other_images_are_warned_about_and_the_card_says_so(
    measure: list[str], tmp_path: Path, photographs: list[bytes]
) -> None:
    for number, content in enumerate(photographs):
        folder = tmp_path / "groceries" / str(number)
        folder.mkdir(parents=True)
        (folder / f"{number}.jpg").write_bytes(content)
    copy = tmp_path / "copy"
    shutil.copytree(find_checkpoint("omniglot"), copy)
    measure[1] = str(copy)
    measure += ["--unlike", str(tmp_path / "groceries")]
    expected = {"folders test": 0.0, "groceries": 1.0}
    (row,) = rows(*measure, "--record")
    assert row["warned"] == expected
    assert load_checkpoint(copy).config.results[-1].warned == expected
    assert "folders test 0.00 %, groceries 100.00 % |" in (copy / "README.md").read_text()
    assert "warned about, groceries" in invoked(*measure).stdout
    with pytest.raises(BadData, match="which is not there"):
        invoked(*measure, "--unlike", str(tmp_path / "nothing"))
    twice = invoked(*measure, "--unlike", str(tmp_path / "groceries"))
    assert twice.exit_code == 2
    assert "different names" in twice.stderr
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "calibration": None}))
    bare = invoked(*measure)
    assert bare.exit_code == 2
    assert "calibrated checkpoint" in bare.stderr


def test_a_checkpoint_can_be_calibrated_by_itself(
    measure: list[str], tmp_path: Path, encoded: tuple[EncodedClass, ...]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(find_checkpoint("omniglot"), copy)
    command = [
        "calibrate",
        str(copy),
        "--data",
        measure[3],
        "--data-format",
        "folders",
        "--episodes",
        "20",
    ]
    for split, members in (("train", encoded[8:10]), ("validation", encoded[10:14])):
        for entry in members:
            folder = tmp_path / "data" / split / entry.name
            folder.mkdir()
            for name, content in entry.files[:5]:
                (folder / name).write_bytes(content)
    before = load_checkpoint(copy)
    assert "temperature" in invoked(*command).stdout
    after = load_checkpoint(copy)
    assert after.config.calibration is not None
    assert after.config.calibration.settings == [(2, 1), (5, 1)]
    assert after.identity != before.identity
    assert invoked(*command).exit_code == 0
    assert load_checkpoint(copy).identity == after.identity


@pytest.mark.parametrize("data_format", get_args(DataFormat))
@pytest.mark.parametrize("command", ["evaluate", "calibrate"])
def test_every_layout_of_data_can_be_asked_for(
    tmp_path: Path, command: str, data_format: str
) -> None:
    shutil.copytree(find_checkpoint("omniglot"), tmp_path / "copy")
    (tmp_path / "empty").mkdir()
    options = ("--data", str(tmp_path / "empty"), "--data-format", data_format)
    with pytest.raises(BadData, match=r"at least 2 classes|archive \w+\.zip"):
        invoked(command, str(tmp_path / "copy"), *options)


def test_a_gpu_that_is_not_there_is_refused(measure: list[str], tmp_path: Path) -> None:
    train = ["train", "omniglot", "--data", str(tmp_path / "data"), "--output", str(tmp_path / "r")]
    for command in (measure, train):
        with pytest.raises(BadSetting, match="expected a CUDA GPU"):
            invoked(*command, "--device", "cuda")
    assert not (tmp_path / "r").exists()
    assert invoked(*measure, "--device", "tpu").exit_code == 2
