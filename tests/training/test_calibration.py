from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from inkling.checkpoints.calibration import (
    Likeness,
    distance,
    expected_calibration_error,
    image_statistics,
)
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape
from inkling.errors import BadData
from inkling.images.decode import decode
from inkling.meta.head import SCALE
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


def test_the_calibration_error_weighs_the_gaps_of_its_bins() -> None:
    confidence = torch.tensor([0.95, 0.95, 0.55, 0.55])
    right = torch.tensor([True, False, True, False])
    # Two bins of two: |0.5 - 0.95| and |0.5 - 0.55|, each with half the weight.
    assert expected_calibration_error(confidence, right) == pytest.approx(0.25)
    assert expected_calibration_error(torch.ones(3), torch.ones(3).bool()) == 0


def test_the_area_under_the_curve_counts_pairs() -> None:
    known, unknown = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0])
    # Pairs above: 1 of 3 and a tie for 2.0, all 3 for 4.0.
    assert area_under_roc(known, unknown) == pytest.approx((1.5 + 3) / 6)
    assert area_under_roc(unknown, known) == pytest.approx(1 - 4.5 / 6)


def test_the_distance_is_that_to_the_nearest_class_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn((4, 8), generator=generator), dim=1)
    means = 0.9 * torch.nn.functional.normalize(torch.randn((3, 8), generator=generator), dim=1)
    logits = 7 * (features @ means.T - means.square().sum(1) / 2)
    squared = torch.cdist(features, means) ** 2
    counts = torch.tensor([1.0, 2.0, 4.0])
    label = squared.argmin(1)
    expected = squared.min(1).values / (1 + 1 / counts[label])
    torch.testing.assert_close(distance(logits, 7.0, torch.tensor([1, 2, 4])), expected)


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
    one, other = (
        fit_calibration(checkpoint.network, each, classes, classes, 0, 20)
        for each in (still, sharp)
    )
    assert other.temperature == pytest.approx(1.5 * one.temperature, rel=0.05)
    assert other.none_of_these == pytest.approx(one.none_of_these, rel=1e-3)


def test_too_few_held_out_images_are_told(checkpoint: Checkpoint, classes: ClassImages) -> None:
    few = ClassImages(classes.names, classes.groups, tuple(images[:3] for images in classes.images))
    with pytest.raises(BadData, match="at least 2 held-out classes of 4 images or more, got 0"):
        fit_calibration(checkpoint.network, checkpoint.initialization, classes, few, 0, 100)


def test_photographs_are_unlike_drawings(
    checkpoint: Checkpoint, classes: ClassImages, photographs: list[bytes]
) -> None:
    half = len(classes.names) // 2
    names, groups, images = classes.names, classes.groups, classes.images
    training = ClassImages(names[:half], groups[:half], images[:half])
    held_out = ClassImages(names[half:], groups[half:], images[half:])
    likeness = fit_likeness(training, held_out, 0)
    others = torch.stack([checkpoint.preprocessing(decode(content)) for content in photographs])
    assert likeness.unlikeness(others) > likeness.threshold
    assert warned_share(likeness, held_out, Setting(EpisodeShape.fixed(3, 1, 0), 50, 0)) <= 0.02
    assert likeness.unlikeness(others.flip(0)) == pytest.approx(likeness.unlikeness(others))


def test_statistics_are_those_of_each_image_alone(classes: ClassImages) -> None:
    images = classes.images[0]
    together = image_statistics(images)
    alone = torch.cat([image_statistics(image.unsqueeze(0)) for image in images])
    torch.testing.assert_close(together, alone)
    flat = image_statistics(torch.full((1, 1, 28, 28), 0.5))
    torch.testing.assert_close(flat, torch.tensor([[0.5, 0.0, 0.0, 0.0, 0.5]]))


def test_a_meter_tells_known_from_unknown(checkpoint: Checkpoint, classes: ClassImages) -> None:
    assert checkpoint.config.calibration is not None
    candidate = Inductive(checkpoint.network, checkpoint.initialization, classes)
    meter = CalibrationMeter(checkpoint, candidate, 0)
    setting = Setting(EpisodeShape.fixed(5, 5, 5), 10, 0)
    evaluate(candidate, setting, on_scores=meter.watch)
    found = meter.found()
    assert 0 <= found.error < 0.1
    assert found.auroc is not None
    assert found.auroc > 0.9
    assert found.flagged is not None
    assert found.flagged < 0.3


@pytest.mark.parametrize("calibrated", [True, False])
def test_queries_are_scored_as_defined(checkpoint: Checkpoint, calibrated: bool) -> None:
    if not calibrated:
        bare = checkpoint.config.model_copy(update={"calibration": None})
        checkpoint = replace(checkpoint, config=bare)
    logits = 9 * torch.randn((6, 4), generator=torch.Generator().manual_seed(0))
    logits[2] = 0.0
    counts = torch.randint(1, 9, (6, 4), generator=torch.Generator().manual_seed(1))
    found = checkpoint.scored(logits, counts.tolist())
    probabilities = torch.tensor([row for row, _ in found])
    torch.testing.assert_close(probabilities, checkpoint.calibrated(logits))
    expected = checkpoint.none_of_these(logits, counts)
    if expected is None:
        assert [apart for _, apart in found] == [None] * 6
    else:
        torch.testing.assert_close(torch.tensor([apart for _, apart in found]), expected)


def test_without_a_calibration_nothing_is_claimed(
    checkpoint: Checkpoint,
) -> None:
    config = checkpoint.config.model_copy(update={"calibration": None})
    bare = replace(checkpoint, config=config)
    logits = torch.tensor([[2.0, 0.0]])
    torch.testing.assert_close(bare.calibrated(logits), logits.softmax(1))
    assert bare.none_of_these(logits, torch.tensor([1, 1])) is None


def test_the_likeness_of_the_shipped_initialization_knows_its_kind(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    assert checkpoint.config.calibration is not None
    likeness: Likeness = checkpoint.config.calibration.likeness
    assert likeness.unlikeness(torch.cat(classes.images)) < likeness.threshold
