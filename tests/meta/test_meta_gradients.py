from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape, draw_episode, seeded
from inkling.meta.episode import Support
from inkling.meta.head import BIAS, SCALE, WEIGHT, HeadStart
from inkling.meta.inner_loop import Initialization, adapt, logits
from inkling.meta.learners import META_LEARNERS

from .toy import SmoothNetwork, toy_episode, toy_initialization

NETWORK = SmoothNetwork()


def head_alone(initialization: Initialization) -> Initialization:
    sizes = {name: initialization.step_sizes[name] for name in (WEIGHT, BIAS)}
    return replace(initialization, step_sizes=sizes)


def query_loss(
    *, second_order: bool, head_start: HeadStart, damping: float | None = None
) -> Callable[..., torch.Tensor]:
    """The query loss after adaptation as a function of the layer and its step sizes."""
    initialization = toy_initialization(NETWORK, 2, head_start, damping)
    episode = toy_episode()

    def loss(layer: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        moved = replace(
            initialization,
            params={**initialization.params, "layer": layer},
            step_sizes={**initialization.step_sizes, "layer": sizes},
        )
        adapted = adapt(NETWORK, moved, episode.support, second_order=second_order)
        scores = logits(NETWORK, moved, adapted.fast_weights, episode.query_images)
        return torch.nn.functional.cross_entropy(scores, episode.query_labels)

    return loss


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    initialization = toy_initialization(NETWORK, steps=2)
    return (
        initialization.params["layer"].clone().requires_grad_(),
        initialization.step_sizes["layer"].clone().requires_grad_(),
    )


@pytest.mark.parametrize("head_start", ["class_means", "zero"])
def test_second_order_agrees_with_finite_differences(head_start: HeadStart) -> None:
    assert torch.autograd.gradcheck(query_loss(second_order=True, head_start=head_start), inputs())


def test_second_order_goes_through_steps_by_curvature() -> None:
    loss = query_loss(second_order=True, head_start="class_means", damping=0.2)
    assert torch.autograd.gradcheck(loss, inputs())


@pytest.mark.parametrize("head_start", ["class_means", "zero"])
def test_first_order_does_not(head_start: HeadStart) -> None:
    loss = query_loss(second_order=False, head_start=head_start)
    assert not torch.autograd.gradcheck(loss, inputs(), raise_exception=False)


def test_maml_hands_out_the_second_order_gradient() -> None:
    initialization = toy_initialization(NETWORK, steps=2)
    found = META_LEARNERS["maml"](NETWORK, initialization, toy_episode(), 0.0)
    layer, sizes = inputs()
    loss = query_loss(second_order=True, head_start="class_means")(layer, sizes)
    expected_layer, expected_sizes = torch.autograd.grad(loss, (layer, sizes))
    torch.testing.assert_close(found.params["layer"], expected_layer)
    torch.testing.assert_close(found.step_sizes["layer"], expected_sizes)
    assert found.loss == pytest.approx(float(loss.detach()))


@pytest.mark.parametrize("name", sorted(META_LEARNERS))
def test_every_learner_has_a_finite_gradient_for_all_that_is_learned(
    name: str, checkpoint: Checkpoint, classes: ClassImages
) -> None:
    episode = draw_episode(classes, EpisodeShape.fixed(3, 1, 2), seeded(0))
    initialization = checkpoint.initialization
    if name == "anil":
        initialization = head_alone(initialization)
    gradient = META_LEARNERS[name](checkpoint.network, initialization, episode, 0.0)
    learned = initialization.params.keys() - checkpoint.network.fixed()
    assert gradient.params.keys() == learned
    assert gradient.step_sizes.keys() == initialization.step_sizes.keys()
    for tensor in [*gradient.params.values(), *gradient.step_sizes.values()]:
        assert bool(torch.isfinite(tensor).all())
        assert not tensor.requires_grad


def test_reptile_points_back_from_what_adapting_to_all_images_leads_to() -> None:
    initialization, episode = toy_initialization(NETWORK), toy_episode()
    found = META_LEARNERS["reptile"](NETWORK, initialization, episode, 0.0)
    together = Support(
        torch.cat([episode.support.images, episode.query_images]),
        torch.cat([episode.support.labels, episode.query_labels]),
        episode.support.n_way,
    )
    adapted = adapt(NETWORK, initialization, together)
    torch.testing.assert_close(
        initialization.params["layer"] - found.params["layer"], adapted.fast_weights["layer"]
    )
    assert float(found.params[SCALE]) == 0
    assert not any(bool(tensor.any()) for tensor in found.step_sizes.values())
    assert found.loss == pytest.approx(float(adapted.loss))


def test_reptile_lowers_the_loss_after_adaptation_of_its_episode() -> None:
    initialization, episode = toy_initialization(NETWORK), toy_episode()
    losses = []
    for _ in range(30):
        found = META_LEARNERS["reptile"](NETWORK, initialization, episode, 0.0)
        losses.append(found.loss)
        layer = initialization.params["layer"] - 0.5 * found.params["layer"]
        initialization = replace(initialization, params={**initialization.params, "layer": layer})
    assert losses[-1] < 0.9 * losses[0]


def test_anil_learns_the_backbone_through_a_head_that_adapts_alone() -> None:
    initialization, episode = head_alone(toy_initialization(NETWORK)), toy_episode()
    found = META_LEARNERS["anil"](NETWORK, initialization, episode, 0.0)
    expected = META_LEARNERS["maml"](NETWORK, initialization, episode, 0.0)
    assert bool(found.params["layer"].any())
    torch.testing.assert_close(found.params["layer"], expected.params["layer"])
    adapted = adapt(NETWORK, initialization, episode.support)
    assert torch.equal(adapted.fast_weights["layer"], initialization.params["layer"])


def test_the_gradient_through_a_head_that_adapts_alone_agrees_with_finite_differences() -> None:
    initialization, episode = head_alone(toy_initialization(NETWORK, steps=2)), toy_episode()

    def loss(layer: torch.Tensor) -> torch.Tensor:
        moved = replace(initialization, params={**initialization.params, "layer": layer})
        adapted = adapt(NETWORK, moved, episode.support, second_order=True)
        scores = logits(NETWORK, moved, adapted.fast_weights, episode.query_images)
        return torch.nn.functional.cross_entropy(scores, episode.query_labels)

    assert torch.autograd.gradcheck(loss, (inputs()[0],))


def test_anil_refuses_step_sizes_for_the_backbone() -> None:
    with pytest.raises(ValueError, match="layer"):
        META_LEARNERS["anil"](NETWORK, toy_initialization(NETWORK), toy_episode(), 0.0)


def test_the_multi_step_loss_is_the_mean_over_steps_at_its_full_share() -> None:
    initialization, episode = toy_initialization(NETWORK, steps=3), toy_episode()
    maml = META_LEARNERS["maml"]
    found = maml(NETWORK, initialization, episode, 1.0)
    alone = [
        maml(NETWORK, first_steps(initialization, steps), episode, 0.0).params["layer"]
        for steps in (1, 2, 3)
    ]
    torch.testing.assert_close(found.params["layer"], torch.stack(alone).mean(0))
    half = maml(NETWORK, initialization, episode, 0.5)
    torch.testing.assert_close(half.params["layer"], (found.params["layer"] + alone[-1]) / 2)
    assert half.loss == maml(NETWORK, initialization, episode, 0.0).loss


def first_steps(initialization: Initialization, steps: int) -> Initialization:
    return replace(
        initialization,
        step_sizes={name: sizes[:steps] for name, sizes in initialization.step_sizes.items()},
        inner_loop=replace(initialization.inner_loop, steps=steps),
    )
