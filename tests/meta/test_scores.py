from __future__ import annotations

import pytest
import torch
from inkling.meta.scores import (
    distance,
    expected_calibration_error,
    unlikeness,
    unlikeness_of_each,
)


def test_the_calibration_error_weighs_the_gaps_of_its_bins() -> None:
    confidence = torch.tensor([0.95, 0.95, 0.55, 0.55])
    right = torch.tensor([True, False, True, False])
    # Two bins of two: |0.5 - 0.95| and |0.5 - 0.55|, each with half the weight.
    assert expected_calibration_error(confidence, right) == pytest.approx(0.25)
    assert expected_calibration_error(torch.ones(3), torch.ones(3).bool()) == 0


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


def test_unlikeness_is_the_mean_squared_mahalanobis_distance() -> None:
    statistics = torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    means, whitening = torch.tensor([0.0, 2.0]), torch.diag(torch.tensor([1.0, 0.5]))
    # Whitened: (1, -1) and (0, 1).
    assert unlikeness(statistics, means, whitening) == pytest.approx(3 / 4)
    assert unlikeness_of_each(statistics, means, whitening).tolist() == [1.0, 0.5]
