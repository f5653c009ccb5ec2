"""A run goes on with the data that it began with, and with no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from inkling.checkpoints.tensor_files import encode_tensors, read_tensors
from inkling.data.sources import EncodedClass
from inkling.errors import BadData, BadRecipe
from inkling.training.datasets import preprocess_classes
from inkling.training.recipes import NamedRecipe, load_recipe
from inkling.training.run import Progress, TrainingRun
from inkling.training.start import recipe_preprocessing

from .test_training import SMALL

Classes = Sequence[EncodedClass]
MakeRun = Callable[..., TrainingRun]
SHORT = SMALL.replace("iterations = 40", "iterations = 3").replace("episodes = 5", "episodes = 2")


@pytest.fixture
def recipe(tmp_path: Path) -> NamedRecipe:
    path = tmp_path / "short.toml"
    path.write_text(SHORT)
    return load_recipe(str(path))


@pytest.fixture(scope="module")
def few(encoded: tuple[EncodedClass, ...]) -> tuple[EncodedClass, ...]:
    """Twelve characters of eight drawings."""
    return tuple(replace(entry, files=entry.files[:8]) for entry in encoded[:12])


@pytest.fixture
def make_run(recipe: NamedRecipe, few: Classes, tmp_path: Path) -> MakeRun:
    """A run on the first eight classes, with the next three held out, unless told otherwise."""
    bare = recipe_preprocessing(recipe.recipe)

    def make(
        training: Classes = few[:8],
        validation: Classes = few[8:11],
        name: str = "run",
        named: NamedRecipe = recipe,
    ) -> TrainingRun:
        learned, held_out = (preprocess_classes(each, bare) for each in (training, validation))
        return TrainingRun(named, tmp_path / name, learned, held_out, bare)

    return make


def advance(run: TrainingRun, updates: int) -> Progress:
    """What the last of so many updates told, after which the run is stopped."""
    progress = run.run(save_every_seconds=0)
    for _ in range(updates):
        last = next(progress)
    return last


def other_files(entry: EncodedClass, donor: EncodedClass) -> EncodedClass:
    return replace(entry, files=donor.files)


@pytest.mark.parametrize("updates", [1, 3, 5], ids=["begun", "pre-trained", "meta-training"])
def test_a_stopped_run_refuses_other_data_and_says_what_changed(
    make_run: MakeRun, few: Classes, updates: int
) -> None:
    advance(make_run(), updates)
    a, b, c, d = (entry.name for entry in few[:4])
    more = few[11]
    for training, told in (
        ((*few[:8], more), rf"1 class more \({more.name}\)"),
        (few[2:8], rf"2 classes fewer \({a}, {b}\)"),
        ((other_files(few[0], more), *few[1:8]), rf"1 class of other files \({a}\)"),
        (
            (replace(few[0], name="new name"), *few[1:8]),
            rf"1 class renamed \({a} to new name\)",
        ),
        (
            [replace(entry, name=f"other{i}") for i, entry in enumerate(few[4:12])],
            rf"4 classes more .*, 4 classes fewer \({a}, {b}, {c}, {d}\), 4 classes renamed",
        ),
        (few[:8:7], rf"6 classes fewer \({b}, {c}, {d}, {few[4].name}, \.\.\.\)"),
    ):
        with pytest.raises(BadData, match=f"{told}.*another --output, delete the folder"):
            advance(make_run(training), 1)
    told = rf"1 class more \({more.name}\), 1 class moved .* validation \({few[8].name}\)"
    with pytest.raises(BadData, match=told):
        advance(make_run(few[:9], few[9:12]), 1)


def test_the_same_data_under_other_file_names_goes_on(make_run: MakeRun, few: Classes) -> None:
    first = advance(make_run(), 2)
    renamed = [
        replace(entry, files=tuple((f"{i}.png", entry.files[-i][1]) for i in range(8)))
        for entry in few[:8]
    ]
    assert advance(make_run(renamed), 1).iteration == first.iteration + 1


def test_a_finished_run_says_so_again_and_takes_no_other_data(
    make_run: MakeRun, few: Classes
) -> None:
    assert len(list(make_run().run())) == 13
    made = make_run().checkpoint()
    assert list(make_run().run()) == []
    with pytest.raises(BadData, match="1 class more"):
        list(make_run((*few[:8], few[11])).run())
    assert make_run().checkpoint().identity == made.identity
    assert make_run().checkpoint().config == made.config


def test_a_run_that_has_just_begun_knows_its_data_and_its_recipe(
    make_run: MakeRun, few: Classes, tmp_path: Path
) -> None:
    """Killed within its first minute, before anything was saved."""
    next(make_run().run())
    with pytest.raises(BadData, match="1 class fewer"):
        advance(make_run(few[:7]), 1)
    path = tmp_path / "other.toml"
    path.write_text(SHORT.replace("5e-3", "4e-3"))
    with pytest.raises(BadRecipe, match="another recipe"):
        advance(make_run(named=load_recipe(str(path))), 1)
    assert advance(make_run(), 1).iteration == 1


def test_pretraining_on_other_data_is_not_taken_over(
    make_run: MakeRun, few: Classes, tmp_path: Path
) -> None:
    advance(make_run(), 4)
    other = make_run((*few[:8], few[11]), name="other")
    with pytest.raises(BadData, match="pre-training learned from other data: 1 class more"):
        other.begin_from_pretraining_of(tmp_path / "run")
    assert not (tmp_path / "other").exists()
    make_run(name="same").begin_from_pretraining_of(tmp_path / "run")
    assert advance(make_run(name="same"), 1).stage == "first_order_maml"


def test_a_state_that_does_not_know_its_data_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    advance(make_run(), 1)
    path = tmp_path / "run/state.safetensors"
    tensors, metadata = read_tensors(path)
    path.write_bytes(encode_tensors(tensors, {k: v for k, v in metadata.items() if k != "data"}))
    with pytest.raises(BadData, match="older version"):
        advance(make_run(), 1)
