"""Steps of the head by curvature: what they solve, and that they never raise the loss."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from inkling.meta import head
from inkling.meta.curvature import head_direction
from inkling.meta.episode import Support
from inkling.meta.inner_loop import support_loss, trajectory_from_frozen

from .toy import SmoothNetwork, toy_initialization

NETWORK = SmoothNetwork(feature_size=4)
DAMPING = 0.05


def support_of(counts: tuple[int, ...], spread: float = 1.0) -> Support:
    """Features `(support, 4)`; with a small spread they are nearly parallel."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    drawn = torch.randn((len(labels), 4), generator=generator, dtype=torch.float64)
    return Support(spread * drawn + torch.ones(4), labels, len(counts))


@pytest.mark.parametrize("counts", [(1, 2), (3, 4, 5)], ids=["fewer rows", "more rows"])
def test_the_direction_is_the_gradient_by_the_inverse_of_the_bound(
    counts: tuple[int, ...],
) -> None:
    support, scale = support_of(counts), torch.tensor(3.0, dtype=torch.float64)
    rows = torch.randn(
        (len(counts), 5), generator=torch.Generator().manual_seed(4), dtype=torch.float64
    )

    def loss(rows: torch.Tensor) -> torch.Tensor:
        params = {head.WEIGHT: rows[:, :4], head.BIAS: rows[:, 4], head.SCALE: scale}
        return support_loss(head.logits(params, support.images), support)

    inputs = torch.cat([head.unit(support.images), torch.ones(len(support.labels), 1)], 1)
    bound = (inputs.T * support.class_weights()) @ inputs / 2
    damped = scale**2 * (bound + DAMPING / len(support.labels) * torch.eye(5))
    expected = torch.linalg.solve(damped, torch.func.grad(loss)(rows).T).T
    params = {head.WEIGHT: rows[:, :4], head.BIAS: rows[:, 4], head.SCALE: scale}
    got = head_direction(params, support.images, support, DAMPING)
    torch.testing.assert_close(got[head.WEIGHT], expected[:, :4])
    torch.testing.assert_close(got[head.BIAS], expected[:, 4])


def test_images_without_a_class_have_no_part_in_it() -> None:
    support = support_of((2, 3))
    padded = Support(
        torch.cat([support.images, torch.zeros(2, 4)]),
        torch.cat([support.labels, torch.tensor([-1, -1])]),
        2,
    )
    params = {
        head.WEIGHT: torch.zeros(2, 4, dtype=torch.float64),
        head.BIAS: torch.zeros(2, dtype=torch.float64),
        head.SCALE: torch.tensor(2.0),
    }
    alone = head_direction(params, support.images, support, DAMPING)
    together = head_direction(params, padded.images, padded, DAMPING)
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor)


@pytest.mark.parametrize("size", [0.5, 1.0, 1.9])
@pytest.mark.parametrize("spread", [1.0, 0.01], ids=["apart", "nearly parallel"])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_no_step_raises_the_loss(size: float, spread: float, scale: float) -> None:
    drawn = toy_initialization(NETWORK, steps=20, damping=0.01)
    initialization = replace(
        drawn,
        params={**drawn.params, head.SCALE: torch.tensor(scale, dtype=torch.float64)},
        step_sizes={
            name: torch.full((20,), size, dtype=torch.float64) for name in (head.WEIGHT, head.BIAS)
        },
    )
    support = support_of((5, 2, 1), spread)
    frozen = replace(support, images=support.images.unsqueeze(1))
    losses = [float(step.loss) for step in trajectory_from_frozen(NETWORK, initialization, frozen)]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(losses))
    assert losses[-1] < losses[0]
