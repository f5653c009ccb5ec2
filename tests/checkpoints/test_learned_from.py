"""What a checkpoint tells of the classes and files that it learned from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from inkling.checkpoints.catalogue import shipped_checkpoints
from inkling.checkpoints.checkpoint import (
    Checkpoint,
    load_checkpoint,
    record_calibration,
    record_learned_from,
    save_checkpoint,
)
from inkling.checkpoints.learned_from import (
    LEARNED_FROM_FILE,
    MOST_BYTES,
    Known,
    LearnedFrom,
    read_learned_from,
)
from inkling.checkpoints.tensor_files import encode_tensors, read_tensors
from inkling.data.sources import ClassFiles, EncodedClass
from inkling.errors import BadCheckpoint

LEARNED = (
    LearnedFrom(whole=False)
    .trained_on([EncodedClass("a", "", (("1.png", b"one"), ("2.png", b"two"))).listed])
    .chosen_on([EncodedClass("b", "", (("1.png", b"three"), ("2.png", b"two"))).listed])
)


def listed(name: str, *contents: bytes) -> ClassFiles:
    return EncodedClass(name, "", tuple((f"{i}.png", c) for i, c in enumerate(contents))).listed


def read(folder: Path) -> LearnedFrom | None:
    return read_learned_from(folder, load_checkpoint(folder).config)


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A checkpoint that tells nothing."""
    save_checkpoint(tmp_path, checkpoint.config, checkpoint.initialization)
    return tmp_path


def test_a_class_is_known_by_its_name_and_by_any_of_its_files() -> None:
    trained = LEARNED.trained
    assert trained.has(listed("a", b"other"))
    assert trained.has(listed("renamed", b"other", b"two"))
    assert trained.files_of(listed("renamed", b"other", b"two")) == [1]
    assert not trained.has(listed("b", b"three"))
    assert LEARNED.chosen_by.has(listed("c", b"three"))
    assert not LEARNED.chosen_by.has(listed("c", b"two")), "it is trained on"
    assert not Known().has(listed("a"))


def test_it_is_read_as_it_was_written_and_the_identity_stays(folder: Path) -> None:
    before = load_checkpoint(folder).identity
    assert read(folder) is None
    for learned in (LEARNED, LearnedFrom()):
        record_learned_from(folder, learned)
        assert read(folder) == learned
    assert load_checkpoint(folder).identity == before
    assert LEARNED_FROM_FILE in (folder / "README.md").read_text()


def test_other_records_keep_it_and_other_weights_do_not(
    folder: Path, checkpoint: Checkpoint
) -> None:
    record_learned_from(folder, LEARNED)
    assert checkpoint.config.calibration is not None
    record_calibration(folder, checkpoint.config.calibration)
    assert read(folder) == LEARNED
    save_checkpoint(folder, load_checkpoint(folder).config, checkpoint.initialization)
    assert read(folder) is None
    assert not (folder / LEARNED_FROM_FILE).exists()


def unsorted(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    tensors["trained.files"] = tensors["trained.files"].flip(0)
    path.write_bytes(encode_tensors(tensors, metadata))


def of_numbers(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    tensors["trained.files"] = torch.zeros(3, 8)
    path.write_bytes(encode_tensors(tensors, metadata))


def with_more(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    path.write_bytes(encode_tensors({**tensors, "more": torch.zeros(1)}, metadata))


def too_long(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(MOST_BYTES + 1)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (unsorted, "expected uint8 .* sorted"),
        (of_numbers, "expected uint8"),
        (with_more, "alone"),
        (too_long, "expected at most"),
        (lambda path: path.write_bytes(b"text"), "expected a safetensors file"),
    ],
)
def test_a_file_of_another_form_is_refused(
    folder: Path, damage: Callable[[Path], object], told: str
) -> None:
    """Also where the config has its sha256."""
    record_learned_from(folder, LEARNED)
    path = folder / LEARNED_FROM_FILE
    noted = hashlib.sha256(path.read_bytes()).hexdigest()
    damage(path)
    if path.stat().st_size <= MOST_BYTES:
        with pytest.raises(BadCheckpoint, match="expected sha256"):
            read(folder)
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        config = folder / "config.json"
        config.write_text(config.read_text().replace(noted, found))
    with pytest.raises(BadCheckpoint, match=told):
        read(folder)


def test_a_file_that_is_lost_is_not_taken_for_nothing_learned(folder: Path) -> None:
    record_learned_from(folder, LEARNED)
    (folder / LEARNED_FROM_FILE).unlink()
    with pytest.raises(BadCheckpoint, match="expected what the checkpoint learned from"):
        read(folder)


def test_the_initializations_that_ship_tell(encoded: tuple[EncodedClass, ...]) -> None:
    """And learned from no character of the samples, which are to try them on."""
    found = {name: read(folder) for name, folder in shipped_checkpoints().items()}
    drawings, photographs = found["omniglot"], found["photos"]
    assert drawings is not None
    assert drawings.whole
    assert len(drawings.trained.classes) == 806
    assert photographs is not None
    assert not photographs.whole
    assert len(photographs.trained.classes) == 393
    known = drawings.trained | drawings.chosen_by
    assert not any(known.has(entry.listed) for entry in encoded)
