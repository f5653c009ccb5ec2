"""What a calibration changes in the answers of a real server, and what its lack leaves out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint, record_calibration
from inkling.cli.local_server import local_server
from inkling.data.episodes import ClassImages
from inkling.images.decode import decode
from inkling.main import create_app
from inkling.settings import Settings
from inkling.training.calibration import fit_likeness
from PIL import Image

from ..pictures import saved
from .test_conversation import NAMES, Drawings, adapt, predict

UNLIKE = "unlike_training_data"


def copied(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """The shipped initialization under another name."""
    shutil.copytree(find_checkpoint("omniglot"), folder / name)
    config = json.loads((folder / name / "config.json").read_text())
    config["name"] = name
    change(config)
    (folder / name / "config.json").write_text(json.dumps(config))
    return folder / name


@pytest.fixture(scope="module")
def of_photographs(folder: Path, checkpoint: Checkpoint, photographs: list[bytes]) -> Path:
    """The shipped initialization, told that photographs are what it learned from."""
    read = torch.stack([checkpoint.preprocessing(decode(content)) for content in photographs])
    seen = ClassImages(("odd", "even"), ("", ""), (read[::2], read[1::2]))
    found = copied(folder, "photographs", lambda _: None)
    calibration = load_checkpoint(found).config.calibration
    assert calibration is not None
    likeness = fit_likeness(seen, seen, checkpoint.preprocessing, 0)
    record_calibration(found, calibration.model_copy(update={"likeness": likeness}))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("initializations")


@pytest.fixture(scope="module")
def three(folder: Path, of_photographs: Path) -> Iterator[httpx.Client]:
    """A server with drawings, photographs, and an initialization that was not calibrated."""
    names = (
        "omniglot",
        str(of_photographs),
        str(copied(folder, "older", lambda config: config.pop("calibration"))),
    )
    with (
        local_server(
            create_app(Settings(initializations=names, workers=1, session_store="memory"))
        ) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


def told(answer: dict[str, Any]) -> list[str]:
    return [entry["message"] for entry in answer["warnings"] if entry["code"] == UNLIKE]


def test_a_loaded_initialization_that_fits_better_is_named(
    three: httpx.Client, drawings: Drawings, photographs: list[bytes]
) -> None:
    groceries = {"a": photographs[:3], "b": photographs[3:]}
    characters = {name: drawings[name][:2] for name in NAMES}
    (message,) = told(adapt(three, groceries, initialization="omniglot"))
    assert message.endswith("initialization 'photographs' fits them better")
    assert not told(adapt(three, groceries, initialization="photographs"))
    (message,) = told(adapt(three, characters, initialization="photographs"))
    assert message.endswith("initialization 'omniglot' fits them better")
    assert not told(adapt(three, characters, initialization="omniglot"))


def test_of_several_for_one_kind_of_picture_the_likeness_decides(
    three: httpx.Client, drawings: Drawings, photographs: list[bytes]
) -> None:
    groceries = {"a": photographs[:3], "b": photographs[3:]}
    characters = {name: drawings[name][:2] for name in NAMES}
    for support, chosen in ((groceries, "photographs"), (characters, "omniglot")):
        choice = adapt(three, support)["choice"]
        assert choice["chosen"] == chosen
        assert "of 3 for a drawing they are least unlike" in choice["reason"]
        unlike = {entry["name"]: entry["unlikeness"] for entry in choice["candidates"]}
        assert unlike.pop("older") is None
        assert min(unlike, key=lambda name: unlike[name]) == chosen


def test_images_that_resemble_none_are_served_and_warned_of(three: httpx.Client) -> None:
    chooser = np.random.default_rng(0)
    noise = [
        saved(Image.fromarray(chooser.integers(0, 255, (40, 40, 3), dtype=np.uint8)))
        for _ in range(4)
    ]
    answer = adapt(three, {"a": noise[:2], "b": noise[2:]})
    (message,) = told(answer)
    assert "fits them better" not in message
    assert repr(answer["choice"]["chosen"]) in message


def test_without_a_calibration_nothing_is_said_of_it(
    three: httpx.Client, drawings: Drawings, photographs: list[bytes]
) -> None:
    answer = adapt(three, {"a": photographs[:3], "b": photographs[3:]}, initialization="older")
    assert not told(answer)
    (found,) = predict(three, answer["session_id"], drawings["Keble_01"][:1])
    assert found["none_of_these"] is None


def test_probabilities_are_those_at_the_temperature(
    three: httpx.Client, checkpoint: Checkpoint, drawings: Drawings
) -> None:
    assert checkpoint.config.calibration is not None
    temperature = checkpoint.config.calibration.temperature
    support = {name: drawings[name][:1] for name in NAMES[:2]}
    ratios = []
    for initialization in ("omniglot", "older"):
        session_id = adapt(three, support, initialization=initialization)["session_id"]
        (found,) = predict(three, session_id, drawings["Keble_01"][3:4])
        first, second = (torch.tensor(e["probability"]) for e in found["probabilities"])
        ratios.append(float((first / second).log()))
    assert ratios[0] == pytest.approx(ratios[1] / temperature, rel=1e-3)
