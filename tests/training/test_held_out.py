"""No test, choice or calibration on what a checkpoint learned from, whatever became of the data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inkling.checkpoints.learned_from import LearnedFrom, read_learned_from
from inkling.cli.app import app
from inkling.data import folders
from inkling.data.sources import SPLITS, EncodedClass, Split
from inkling.errors import BadData
from inkling.training.held_out import held_out
from typer.testing import CliRunner

from .test_run_data import SHORT

Write = Callable[[EncodedClass, str], Path]
KNOWN = "learned from or was chosen by"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def write(data: Path) -> Write:
    """Writes eight drawings of a character as a class of some path in the data."""

    def write(entry: EncodedClass, path: str) -> Path:
        (data / path).mkdir(parents=True, exist_ok=True)
        for name, content in entry.files[:8]:
            (data / path / name).write_bytes(content)
        return data / path

    return write


@pytest.fixture
def divided(write: Write, encoded: tuple[EncodedClass, ...]) -> LearnedFrom:
    """Data of named splits, four classes each, and what a checkpoint of it learned from."""
    for number, split in enumerate(SPLITS):
        for entry in encoded[4 * number : 4 * number + 4]:
            path = write(entry, f"{split}/{entry.name}")
    return learned_of(path.parent.parent)


@pytest.fixture
def dealt(write: Write, encoded: tuple[EncodedClass, ...]) -> LearnedFrom:
    """Twelve class folders, dealt out 8 : 2 : 2, and what a checkpoint of them learned from."""
    for entry in encoded[:12]:
        path = write(entry, entry.name)
    return learned_of(path.parent)


def learned_of(data: Path) -> LearnedFrom:
    train, validation = (
        [entry.listed for entry in folders.read(data, split)] for split in SPLITS[:2]
    )
    return LearnedFrom().trained_on(train).chosen_on(validation)


def names(data: Path, learned: LearnedFrom, split: Split = "test") -> list[str]:
    return [entry.name for entry in held_out("folders", data, split, [], learned).classes]


def test_splits_that_stayed_apart_are_whole(
    data: Path, divided: LearnedFrom, encoded: tuple[EncodedClass, ...]
) -> None:
    for number, split in enumerate(SPLITS):
        expected = [entry.name for entry in encoded[4 * number : 4 * number + 4]]
        assert names(data, divided, split) == expected
        assert held_out("folders", data, split, [], divided).name == f"folders {split}"


@pytest.mark.parametrize("origin", ["train", "validation"])
@pytest.mark.parametrize("change", ["moved", "renamed", "divided", "joined", "copied", "replaced"])
def test_a_known_class_in_a_named_test_split_is_refused(
    data: Path, divided: LearnedFrom, origin: str, change: str
) -> None:
    known = min((data / origin).iterdir())
    target = min((data / "test").iterdir())
    files = sorted(known.iterdir())
    name, told = "new name", "8 of its 8 files"
    if change == "moved":
        name = known.name
        known.rename(data / "test" / name)
    elif change == "renamed":
        known.rename(data / "test/new name")
    elif change == "divided":
        (data / "test/new name").mkdir()
        for file in files[:3]:
            file.rename(data / "test/new name" / file.name)
        told = f"3 of its 3 files, as {files[0].name}"
    elif change == "joined":
        name, told = target.name, "8 of its 16 files"
        for file in files:
            file.rename(target / f"more_{file.name}")
    elif change == "copied":
        name, told = target.name, "1 of its 9 files, as copy.png"
        shutil.copy(files[0], target / "copy.png")
    else:
        name, told = known.name, "by its name"
        target.rename(data / "test" / known.name)
    with pytest.raises(BadData) as refused:
        names(data, divided)
    assert f"1 of {len(list((data / 'test').iterdir()))} classes is also among" in str(
        refused.value
    )
    assert KNOWN in str(refused.value)
    assert f"such as {name} ({told}" in str(refused.value)


def test_validation_is_on_what_a_checkpoint_was_chosen_by_and_not_on_what_it_trained_on(
    data: Path, divided: LearnedFrom
) -> None:
    for known in sorted((data / "train").iterdir())[:2]:
        known.rename(data / "validation" / known.name)
    with pytest.raises(BadData, match="validation: 2 of 6 classes are also"):
        names(data, divided, "validation")


def test_classes_that_come_or_go_never_bring_known_ones_into_a_dealt_test(
    data: Path, dealt: LearnedFrom, write: Write, encoded: tuple[EncodedClass, ...]
) -> None:
    unseen, known, told = set(names(data, dealt)), dealt.trained | dealt.chosen_by, set[str]()
    for entry in encoded[12:]:
        write(entry, entry.name)
        unseen.add(entry.name)
        clean = not any(known.has(each.listed) for each in folders.read(data, "test"))
        found = held_out("folders", data, "test", [], dealt)
        assert found.name == ("folders test" if clean else "folders unseen")
        tested = {each.name for each in found.classes}
        assert tested < unseen if clean else tested == unseen
        told.add(found.name)
        chosen = held_out("folders", data, "validation", [], dealt)
        assert not any(dealt.trained.has(each.listed) for each in chosen.classes)
    assert told == {"folders test", "folders unseen"}
    gone = min(unseen)
    shutil.rmtree(data / gone)
    for path in sorted(data.iterdir()):
        path.rename(data / f"renamed_{path.name}")
    left = {name.removeprefix("renamed_") for name in names(data, dealt)}
    assert left <= unseen - {gone}


def test_too_few_unknown_classes_are_told(
    data: Path, dealt: LearnedFrom, write: Write, encoded: tuple[EncodedClass, ...]
) -> None:
    for entry in encoded[:12]:
        if not (dealt.trained | dealt.chosen_by).has(entry.listed):
            shutil.rmtree(data / entry.name)
    write(encoded[12], "one")
    with pytest.raises(
        BadData, match=r"at least 2 classes that the checkpoint did not learn.*got 1"
    ):
        names(data, dealt)


@pytest.fixture
def told(data: Path, tmp_path: Path) -> Callable[..., str]:
    """What a command says on this data."""
    (tmp_path / "short.toml").write_text(SHORT.replace("[[3, 1]]", "[[2, 1]]"))
    places = {"RECIPE": tmp_path / "short.toml", "RUN": tmp_path / "run", "DATA": data}

    def told(command: str) -> str:
        words = [str(places.get(word, word)) for word in command.split()]
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return told


EVALUATE = "--data DATA --data-format folders --n-way 2 --n-query 3 --episodes 4"


def test_train_notes_what_it_learned_from_and_evaluate_keeps_off_it(
    dealt: LearnedFrom,
    write: Write,
    told: Callable[..., str],
    tmp_path: Path,
    encoded: tuple[EncodedClass, ...],
) -> None:
    told("train RECIPE --data DATA --output RUN")
    made = tmp_path / "run/checkpoint"
    assert read_learned_from(made, load_checkpoint(made).config) == dealt
    row = json.loads(told(f"evaluate {made} {EVALUATE} --json").splitlines()[-1])
    assert row["split"] == "folders test"
    for entry in encoded[12:18]:
        write(entry, entry.name)
    row = json.loads(told(f"evaluate {made} {EVALUATE} --json").splitlines()[-1])
    assert row["split"] == "folders unseen"
    told(f"calibrate {made} --data DATA --data-format folders --episodes 2")
    noted = read_learned_from(made, load_checkpoint(made).config)
    assert noted is not None
    assert noted.trained == dealt.trained
    assert noted.chosen_by.files > dealt.chosen_by.files
    with pytest.raises(BadData, match="began with other data"):
        told("train RECIPE --data DATA --output RUN")


@pytest.mark.usefixtures("divided")
def test_train_refuses_a_validation_class_that_it_trains_on(
    data: Path, told: Callable[..., str], tmp_path: Path
) -> None:
    known, target = (min((data / split).iterdir()) for split in SPLITS[:2])
    shutil.copy(min(known.iterdir()), target / "copy.png")
    with pytest.raises(BadData, match=r"validation: 1 of 4 .* also in train, .*as copy\.png"):
        told("train RECIPE --data DATA --output RUN")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("divided")
def test_a_checkpoint_that_tells_nothing_says_so_until_it_is_noted(
    data: Path,
    told: Callable[..., str],
    tmp_path: Path,
    checkpoint: Checkpoint,
) -> None:
    old = tmp_path / "old"
    save_checkpoint(old, checkpoint.config, checkpoint.initialization)
    assert "does not tell which files" in told(f"evaluate {old} {EVALUATE}")
    assert "32 files of 4 classes" in told(f"learned-from {old} --data DATA --data-format folders")
    assert load_checkpoint(old).identity == checkpoint.identity
    assert "not tell" not in told(f"evaluate {old} {EVALUATE}")
    learned = min((data / "train").iterdir())
    shutil.copytree(learned, data / "test/copy")
    for command in (f"evaluate {old}", f"evaluate omniglot --pretrained {old}"):
        with pytest.raises(BadData, match=KNOWN):
            told(f"{command} {EVALUATE}")
    with pytest.raises(BadData, match="learned from"):
        told(f"evaluate {old} {EVALUATE} --split validation --unlike {data / 'train'}")
