from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inkling.checkpoints.learned_from import read_learned_from
from inkling.checkpoints.tensor_files import read_tensors, write_file
from inkling.errors import BadCheckpoint

from .configs import edit_config


def test_saved_equals_loaded(checkpoint: Checkpoint, tmp_path: Path) -> None:
    learned_from = read_learned_from(find_checkpoint("omniglot"), checkpoint.config)
    save_checkpoint(
        tmp_path, checkpoint.config, checkpoint.initialization, learned_from=learned_from
    )
    loaded = load_checkpoint(tmp_path)
    assert loaded.identity == checkpoint.identity
    assert loaded.config == checkpoint.config
    assert loaded.network == checkpoint.network
    assert loaded.preprocessing == checkpoint.preprocessing
    for kind in ("params", "step_sizes"):
        saved = getattr(checkpoint.initialization, kind)
        found = getattr(loaded.initialization, kind)
        assert saved.keys() == found.keys()
        assert all(torch.equal(saved[name], found[name]) for name in saved)


def test_channels_last_weights_are_saved_as_they_are(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    initialization = checkpoint.initialization
    weight = initialization.params["block2.weight"]
    strided = weight.contiguous(memory_format=torch.channels_last)
    moved = replace(initialization, params={**initialization.params, "block2.weight": strided})
    save_checkpoint(tmp_path, checkpoint.config, moved)
    assert torch.equal(load_checkpoint(tmp_path).initialization.params["block2.weight"], weight)


def test_the_identity_is_of_what_answers_depend_on(copy: Path, checkpoint: Checkpoint) -> None:
    edit_config(copy, lambda config: config.update(description="told otherwise"))
    assert load_checkpoint(copy).identity == checkpoint.identity
    edit_config(copy, lambda config: config["preprocessing"].update(extent=4.0))
    assert load_checkpoint(copy).identity != checkpoint.identity


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda config: config.pop("network"), "network: Field required"),
        (lambda config: config.update(format=2), "format"),
        (lambda config: config.update(surprise=1), "surprise"),
        (lambda config: config["network"].update(name="conv5"), "'conv5'"),
        (lambda config: config["network"].update(colour="red"), "colour"),
        (
            lambda config: config["network"].update(channels=32),
            "expected float32 (32,), got float32 (64,)",
        ),
        (lambda config: config["network"].update(channels="64"), "channels"),
        (lambda config: config["network"].update(norm="group"), "do not belong"),
        (lambda config: config["inner_loop"].update(steps=4), "expected float32 (4,)"),
        (lambda config: config["preprocessing"].update(name="photo"), "'photo'"),
        (
            lambda config: config["preprocessing"].update(size=32),
            "preprocessing makes images of shape (1, 32, 32), the network takes (1, 28, 28)",
        ),
    ],
)
def test_a_config_that_does_not_fit_is_told(
    copy: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    edit_config(copy, change)
    with pytest.raises(BadCheckpoint) as refused:
        load_checkpoint(copy)
    assert told in str(refused.value)


def test_weights_that_were_changed_are_refused(copy: Path) -> None:
    path = copy / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadCheckpoint, match="expected sha256"):
        load_checkpoint(copy)


def test_numbers_that_are_not_finite_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    initialization = checkpoint.initialization
    broken = replace(
        initialization,
        params={**initialization.params, "head.scale": torch.tensor(float("nan"))},
    )
    save_checkpoint(tmp_path, checkpoint.config, broken)
    with pytest.raises(BadCheckpoint, match="not finite"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BadCheckpoint, match="expected a checkpoint folder"):
        load_checkpoint(copy)


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(BadCheckpoint, match="omniglot"):
        find_checkpoint("imagenet")


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tensors").write_bytes(b"not tensors")
    with pytest.raises(BadCheckpoint, match="safetensors"):
        read_tensors(tmp_path / "tensors")


def test_writing_leaves_no_temporary_file_behind(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"one")
    write_file(tmp_path / "file", b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"two"
