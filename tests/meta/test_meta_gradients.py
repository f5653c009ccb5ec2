from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape, draw_episode, seeded
from inkling.meta.head import HeadStart
from inkling.meta.inner_loop import adapt, logits
from inkling.meta.learners import META_LEARNERS

from .toy import SmoothNetwork, toy_episode, toy_initialization

NETWORK = SmoothNetwork()


def query_loss(*, second_order: bool, head_start: HeadStart) -> Callable[..., torch.Tensor]:
    """The query loss after adaptation as a function of the layer and its step sizes."""
    initialization = toy_initialization(NETWORK, steps=2, head_start=head_start)
    episode = toy_episode()

    def loss(layer: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        moved = replace(
            initialization,
            params={**initialization.params, "layer": layer},
            step_sizes={**initialization.step_sizes, "layer": sizes},
        )
        adapted = adapt(NETWORK, moved, episode.support, second_order=second_order)
        scores = logits(NETWORK, adapted.fast_weights, episode.query_images)
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


@pytest.mark.parametrize("head_start", ["class_means", "zero"])
def test_first_order_does_not(head_start: HeadStart) -> None:
    loss = query_loss(second_order=False, head_start=head_start)
    assert not torch.autograd.gradcheck(loss, inputs(), raise_exception=False)


def test_maml_hands_out_the_second_order_gradient() -> None:
    initialization = toy_initialization(NETWORK, steps=2)
    found = META_LEARNERS["maml"](NETWORK, initialization, toy_episode())
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
    gradient = META_LEARNERS[name](checkpoint.network, checkpoint.initialization, episode)
    initialization = checkpoint.initialization
    learned = initialization.params.keys() - checkpoint.network.fixed()
    assert gradient.params.keys() == learned
    assert gradient.step_sizes.keys() == initialization.step_sizes.keys()
    for tensor in [*gradient.params.values(), *gradient.step_sizes.values()]:
        assert bool(torch.isfinite(tensor).all())
        assert not tensor.requires_grad
