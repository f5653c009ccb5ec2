from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from inkling.checkpoints.card import card
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape
from inkling.training.adaptation_curve import AdaptationCurve, measure_curve, validated_steps
from inkling.training.candidate import Inductive
from inkling.training.evaluation import Interval, Setting, evaluate
from inkling.training.figures import adaptation_curves, learning_curve, read_log, running_mean
from PIL import Image


def opened(content: bytes) -> Image.Image:
    """A PNG's pixels, once it is known to be one that shows something."""
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
        seen = picture.convert("RGB")
    assert len(seen.getcolors(maxcolors=seen.width * seen.height) or []) > 20
    return seen


def shows(picture: Image.Image, colour: tuple[int, int, int]) -> bool:
    return colour in {found for _, found in picture.getcolors(picture.width * picture.height) or []}


BLUE, ORANGE, GREY = (31, 119, 180), (255, 127, 14), (127, 127, 127)


def update(stage_number: int, iteration: int, loss: float = 1.0, **other: Any) -> dict[str, Any]:
    stage = ("pretraining", "maml")[stage_number]
    entry = {"stage_number": stage_number, "stage": stage, "iteration": iteration, "loss": loss}
    return {**entry, "accuracy": 0.5, "validation": None, **other}


def write_log(path: Path, updates: list[dict[str, Any]], rest: str = "") -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in updates) + rest)
    return path


def test_the_last_entry_of_an_update_counts(tmp_path: Path) -> None:
    first = [update(0, 1, 9), update(0, 2, 9), update(1, 1, 9), update(1, 2, 9)]
    again = [update(0, 2, 7), update(1, 1, 6)]
    log = write_log(tmp_path / "log.jsonl", [*first, *again], rest='{"time": 17')
    stages = [[(one["iteration"], one["loss"]) for one in stage] for stage in read_log(log)]
    assert stages == [[(1, 9), (2, 7)], [(1, 6)]]
    assert read_log(tmp_path / "nothing.jsonl") == []


def test_a_running_mean_is_one_over_its_window() -> None:
    assert running_mean([1, 2, 3, 5], 2) == pytest.approx([1.5, 2.5, 4])
    assert running_mean([1, 2], 1) == [1, 2]


def test_a_learning_curve_has_a_panel_for_each_stage(tmp_path: Path) -> None:
    updates = [update(0, i, 1 / i, validation=0.9 if i % 5 == 0 else None) for i in range(1, 201)]
    (one,) = read_log(write_log(tmp_path / "one.jsonl", updates))
    narrow = opened(learning_curve([one]))
    wide = opened(learning_curve([one, [update(1, 1)]]))
    assert wide.width == 2 * narrow.width
    assert all(shows(narrow, colour) for colour in (BLUE, ORANGE, GREY))


def test_adaptation_curves_show_a_line_for_each() -> None:
    curves = [
        AdaptationCurve(name, [Interval(level + step / 100, 0.02) for step in range(5)])
        for name, level in (("one", 0.5), ("other", 0.8))
    ]
    both = opened(adaptation_curves(curves, trained=2, validated=4, classes="test"))
    one = opened(adaptation_curves(curves[:1], trained=2, validated=4, classes="test"))
    assert shows(both, BLUE)
    assert shows(both, ORANGE)
    assert not shows(one, ORANGE)


def test_a_curve_goes_through_the_accuracies_of_its_steps(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    setting = Setting(EpisodeShape.fixed(5, 1, 3), episodes=3, seed=1)
    network, initialization = checkpoint.network, checkpoint.initialization
    curve = measure_curve(Inductive(network, initialization, classes), setting)
    assert curve.label == "5-way 1-shot"
    assert len(curve.accuracies) == 2 * initialization.inner_loop.steps + 1
    trained = evaluate(Inductive(network, initialization, classes), setting).accuracy
    assert curve.accuracies[initialization.inner_loop.steps] == trained


def test_validated_steps_are_those_that_keep_the_level() -> None:
    def curve(*means: float) -> AdaptationCurve:
        return AdaptationCurve("", [Interval(mean, 0.1) for mean in means])

    assert validated_steps([curve(0.2, 0.8, 0.8, 0.797, 0.9)], trained=2) == 4
    assert validated_steps([curve(0.2, 0.8, 0.8, 0.797, 0.7)], trained=2) == 3
    both = [curve(0.2, 0.8, 0.8, 0.9, 0.8), curve(0.2, 0.8, 0.8, 0.7, 0.6)]
    assert validated_steps(both, trained=2) == 3


def test_the_card_shows_the_pictures_that_lie_beside_it(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert "![" not in card(checkpoint.config, checkpoint.identity)
    for names in ((), ("learning_curve.png",), ("learning_curve.png", "adaptation_curve.png")):
        folder = tmp_path / str(len(names))
        pictures = dict.fromkeys(names, b"picture")
        save_checkpoint(folder, checkpoint.config, checkpoint.initialization, pictures)
        text = (folder / "README.md").read_text()
        assert text.count("![") == len(names)
        assert all(f"({name})" in text for name in names)
        assert load_checkpoint(folder).identity == checkpoint.identity
