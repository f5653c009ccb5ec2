from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inkling.checkpoints.checkpoint import (
    Checkpoint,
    load_checkpoint,
    record_calibration,
    record_result,
)
from inkling.checkpoints.config import Result
from inkling.errors import BadCheckpoint

from .configs import edit_config

OLDER_RESULT = {
    "split": "omniglot test",
    "n_way": 5,
    "n_shot": 1,
    "n_query": 15,
    "episodes": 1000,
    "seed": 0,
    "accuracy": 0.98,
    "interval": 0.002,
    "nearest_centroid": 0.97,
    "nearest_centroid_interval": 0.002,
}


def test_an_older_checkpoint_loads_with_its_results(copy: Path) -> None:
    edit_config(copy, lambda config: config.pop("calibration"))
    edit_config(copy, lambda config: config.update(results=[OLDER_RESULT]))
    older = load_checkpoint(copy)
    assert older.config.calibration is None
    assert "calibration" not in older.config.functional()
    (result,) = older.config.results
    assert (result.calibration_error, result.none_of_these_auroc, result.warned) == (None,) * 3
    record_result(copy, result.model_copy(update={"seed": 1}))
    assert load_checkpoint(copy).identity == older.identity
    assert "## Calibration" not in (copy / "README.md").read_text()


def test_a_calibration_counts_for_the_identity_and_drops_what_was_measured(
    copy: Path, checkpoint: Checkpoint
) -> None:
    calibration = checkpoint.config.calibration
    assert calibration is not None
    edit_config(copy, lambda config: config.update(results=[OLDER_RESULT]))
    record_calibration(copy, calibration.model_copy(update={"temperature": 1.25}))
    changed = load_checkpoint(copy)
    assert changed.identity != checkpoint.identity
    assert changed.config.results == []
    assert "temperature 1.250" in (copy / "README.md").read_text()
    record_calibration(copy, calibration)
    assert load_checkpoint(copy).identity == checkpoint.identity


def test_what_was_found_of_a_calibration_is_on_the_card(copy: Path) -> None:
    found = {
        "calibration_error": 0.0123,
        "none_of_these_auroc": 0.9876,
        "known_flagged": 0.0456,
        "warned": {"omniglot test": 0.001, "photographs": 1.0},
    }
    result = Result.model_validate({**OLDER_RESULT, **found})
    record_result(copy, result)
    assert load_checkpoint(copy).config.results[-1] == result
    row = "| 0.0123 | 0.9876 | 0.0456 | omniglot test 0.10 %, photographs 100.00 % |"
    assert row in (copy / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update(temperature=0), "calibration.temperature"),
        (lambda c: c.update(none_of_these=-1), "calibration.none_of_these"),
        (lambda c: c.update(surprise=1), "calibration.surprise"),
        (lambda c: c["likeness"]["means"].pop(), "calibration.likeness: .* expected 4 rows"),
        (lambda c: c["likeness"]["whitening"].pop(), "calibration.likeness: .* expected 5 rows"),
        (lambda c: c["likeness"]["whitening"][2].pop(), "calibration.likeness: .* of 5 numbers"),
        (
            lambda c: c["likeness"].update(means=[0.0], whitening=[[1.0]]),
            "calibration.likeness.means: expected 5 statistics, got 1",
        ),
        (
            lambda c: c["likeness"]["means"].__setitem__(1, float("nan")),
            "calibration.likeness.means.1",
        ),
    ],
)
def test_a_calibration_that_cannot_be_used_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    edit_config(copy, lambda config: change(config["calibration"]))
    with pytest.raises(BadCheckpoint, match=told):
        load_checkpoint(copy)
