"""The head's kernel gives the loss of `meta`, and the gradients that autograd has of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from inkling.kernels.head import CLASS_MEANS, COSINE, ZERO, Head, logits, loss_and_gradients, step
from inkling.kernels.jit import Floats
from inkling.meta import head
from inkling.meta.episode import Support
from inkling.meta.head import HeadStart
from inkling.meta.inner_loop import logits_over_views

from .blocks import close, drawn

STARTS: list[tuple[HeadStart, int]] = [
    ("zero", ZERO), ("class_means", CLASS_MEANS), ("cosine", COSINE)
]  # fmt: skip
LABELS = np.array([0, 0, 1, 2, 2, 2, 1], np.int64)
N_WAY, SIZE, SCALE = 3, 6, np.float32(8)


def head_of(offset_weight: Floats, offset_bias: Floats) -> Head:
    def blank() -> tuple[Floats, Floats]:
        return np.full((N_WAY, SIZE), np.nan, np.float32), np.full(N_WAY, np.nan, np.float32)

    return Head(*blank(), offset_weight, offset_bias, *blank())


def loss_of(
    start: HeadStart, features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """As `meta.inner_loop` has it, of features and of offsets."""
    support = Support(features, torch.from_numpy(LABELS), N_WAY)
    rows = head.start(start, features, support)
    params = {
        head.WEIGHT: rows[head.WEIGHT] + weight,
        head.BIAS: rows[head.BIAS] + bias,
        head.SCALE: torch.tensor(float(SCALE), dtype=features.dtype),
    }
    chosen = (head.logits(params, features).log_softmax(1) * support.membership()).sum(1)
    return -(support.class_weights() * chosen).sum()


@pytest.mark.parametrize(("start", "number"), STARTS)
def test_loss_and_gradients_are_those_of_the_definition(start: HeadStart, number: int) -> None:
    features, weight, bias = drawn(7, SIZE), drawn(N_WAY, SIZE, seed=1), drawn(N_WAY, seed=2)
    shares = (1 / np.bincount(LABELS))[LABELS].astype(np.float32)
    own, d_features = head_of(weight, bias), np.empty_like(features)
    loss = loss_and_gradients(features, LABELS, shares, number, SCALE, own, d_features)
    arrays = (features, weight, bias)
    leaves = [torch.from_numpy(array).clone().requires_grad_() for array in arrays]
    expected = loss_of(start, *leaves)
    wanted = torch.autograd.grad(expected, leaves)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    for actual, gradient in zip((d_features, own.d_weight, own.d_bias), wanted, strict=True):
        assert close(actual, gradient.numpy())


def test_a_step_is_as_long_as_there_are_classes() -> None:
    own = head_of(np.zeros((N_WAY, SIZE), np.float32), np.zeros(N_WAY, np.float32))
    own.d_weight[:], own.d_bias[:] = 1, 2
    step(np.array([0.5, 0.25], np.float32), own)
    assert (own.offset_weight == -0.5 * N_WAY).all()
    assert (own.offset_bias == -0.25 * 2 * N_WAY).all()


def test_an_image_is_classified_by_the_views_that_count() -> None:
    features, weight, bias = drawn(4 * 3, SIZE), drawn(N_WAY, SIZE, seed=1), drawn(N_WAY, seed=2)
    out = np.empty((4, N_WAY), np.float32)
    logits(features, 2, weight, bias, SCALE, out)
    params = {head.WEIGHT: torch.from_numpy(weight), head.BIAS: torch.from_numpy(bias)}
    seen = torch.from_numpy(features).reshape(4, 3, SIZE)[:, :2]
    expected = logits_over_views({**params, head.SCALE: torch.tensor(float(SCALE))}, seen)
    # Directions are compared, so that the mean over views may have any length.
    assert close(out, expected.numpy())


def test_a_feature_vector_of_zeros_is_no_division_by_zero() -> None:
    features = np.zeros((7, SIZE), np.float32)
    shares = (1 / np.bincount(LABELS))[LABELS].astype(np.float32)
    own = head_of(drawn(N_WAY, SIZE), drawn(N_WAY))
    loss = loss_and_gradients(features, LABELS, shares, COSINE, SCALE, own, np.empty_like(features))
    assert np.isfinite(loss)


def test_a_feature_that_is_not_a_number_makes_the_loss_none() -> None:
    features = drawn(7, SIZE)
    features[3, 2] = np.nan
    shares = (1 / np.bincount(LABELS))[LABELS].astype(np.float32)
    own = head_of(drawn(N_WAY, SIZE), drawn(N_WAY))
    assert np.isnan(
        loss_and_gradients(features, LABELS, shares, ZERO, SCALE, own, np.empty_like(features))
    )
