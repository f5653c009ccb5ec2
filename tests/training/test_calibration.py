from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from inkling.checkpoints.calibration import Calibration
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape
from inkling.errors import BadData
from inkling.images.decode import decode
from inkling.meta.head import SCALE
from inkling.meta.inner_loop import Initialization
from inkling.training import calibration
from inkling.training.calibration import (
    CalibrationMeter,
    area_under_roc,
    fit_calibration,
    fit_likeness,
    warned_share,
)
from inkling.training.candidate import Inductive
from inkling.training.evaluation import Setting, evaluate


def fitted(
    checkpoint: Checkpoint, initialization: Initialization, held_out: ClassImages, episodes: int
) -> Calibration:
    candidate = Inductive(checkpoint.network, initialization, held_out)
    return fit_calibration(candidate, held_out, checkpoint.preprocessing, 0, episodes)


def test_the_area_under_the_curve_counts_pairs() -> None:
    known, unknown = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0])
    # Pairs above: 1 of 3 and a tie for 2.0, all 3 for 4.0.
    assert area_under_roc(known, unknown) == pytest.approx((1.5 + 3) / 6)
    assert area_under_roc(unknown, known) == pytest.approx(1 - 4.5 / 6)


def test_a_temperature_undoes_overconfidence(
    checkpoint: Checkpoint, classes: ClassImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "SETTINGS", ((5, 1),))
    initialization = checkpoint.initialization
    # The steps of the inner loop go by the scale too, so it is the start that is compared.
    still = replace(
        initialization,
        step_sizes={name: 0 * size for name, size in initialization.step_sizes.items()},
    )
    params = still.params
    sharp = replace(still, params={**params, SCALE: 1.5 * params[SCALE]})
    plain, overconfident = (fitted(checkpoint, each, classes, 20) for each in (still, sharp))
    assert overconfident.temperature == pytest.approx(1.5 * plain.temperature, rel=0.05)
    assert overconfident.none_of_these == pytest.approx(plain.none_of_these, rel=1e-3)


def test_too_few_held_out_images_are_told(checkpoint: Checkpoint, classes: ClassImages) -> None:
    few = ClassImages(classes.names, classes.groups, tuple(images[:3] for images in classes.images))
    with pytest.raises(BadData, match="at least 2 held-out classes of 4 images or more, got 0"):
        fitted(checkpoint, checkpoint.initialization, few, 100)


def test_photographs_are_unlike_drawings(
    checkpoint: Checkpoint, classes: ClassImages, photographs: list[bytes]
) -> None:
    half = len(classes.names) // 2
    names, groups, images = classes.names, classes.groups, classes.images
    training = ClassImages(names[:half], groups[:half], images[:half])
    held_out = ClassImages(names[half:], groups[half:], images[half:])
    likeness = fit_likeness(training, held_out, checkpoint.preprocessing, 0)
    rgba = [decode(content) for content in photographs]
    statistics = checkpoint.preprocessing.prepare(rgba).statistics
    assert likeness.unlikeness(statistics) > likeness.threshold
    setting = Setting(EpisodeShape.fixed(3, 1, 0), 50, 0)
    assert warned_share(likeness, held_out, checkpoint.preprocessing, setting) <= 0.02
    assert likeness.unlikeness(statistics.flip(0)) == pytest.approx(likeness.unlikeness(statistics))


def test_a_meter_tells_known_from_unknown(checkpoint: Checkpoint, classes: ClassImages) -> None:
    assert checkpoint.config.calibration is not None
    candidate = Inductive(checkpoint.network, checkpoint.initialization, classes)
    meter = CalibrationMeter(checkpoint, candidate, 0)
    setting = Setting(EpisodeShape.fixed(5, 5, 5), 10, 0)
    evaluate(candidate, setting, on_logits=meter.watch)
    worth = meter.worth()
    assert 0 <= worth.error < 0.1
    assert worth.auroc is not None
    assert worth.auroc > 0.9
    assert worth.flagged is not None
    assert worth.flagged < 0.3


def test_without_a_calibration_nothing_is_claimed(
    checkpoint: Checkpoint,
) -> None:
    config = checkpoint.config.model_copy(update={"calibration": None})
    bare = replace(checkpoint, config=config)
    logits = torch.tensor([[2.0, 0.0]])
    torch.testing.assert_close(bare.scoring.probabilities(logits), logits.softmax(1))
    assert bare.scoring.none_of_these(logits, torch.tensor([1, 1])) is None


def test_the_likeness_of_the_shipped_initialization_knows_its_kind(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    assert checkpoint.config.calibration is not None
    likeness = checkpoint.config.calibration.likeness
    statistics = checkpoint.preprocessing.statistics(
        torch.cat([images[:] for images in classes.images])
    )
    assert likeness.unlikeness(statistics) < likeness.threshold


def test_groups_of_fewer_classes_than_a_setting_asks_for_are_calibrated_on_too(
    checkpoint: Checkpoint, classes: ClassImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "SETTINGS", ((5, 1),))
    groups = ("small",) * 3 + ("large",) * (len(classes.names) - 3)
    domains = replace(classes, groups=groups, in_groups=True)
    found = fitted(checkpoint, checkpoint.initialization, domains, 20)
    assert found.settings == [(5, 1)]
    assert found.none_of_these is not None
    assert 0 < found.none_of_these < 2
    small = replace(
        domains, names=domains.names[:3], groups=groups[:3], images=domains.images[:3]
    ).joined(replace(domains, names=("other",), groups=("other",), images=domains.images[3:4]))
    candidate = Inductive(checkpoint.network, checkpoint.initialization, small)
    meter = CalibrationMeter(checkpoint, candidate, 0)
    setting = Setting(EpisodeShape.fixed(3, 1, 2), 3, 0)
    evaluate(candidate, setting, on_logits=meter.watch)
    assert meter.worth().auroc is None, "no class of the same group is left to be a stranger"
