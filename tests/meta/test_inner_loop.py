from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape, draw_episode, seeded
from inkling.meta.episode import Support
from inkling.meta.head import BIAS, CLOSE, SCALE, WEIGHT, start
from inkling.meta.head import logits as head_logits
from inkling.meta.inner_loop import Initialization, adapt, logits, support_loss, trajectory
from inkling.meta.network import Network
from inkling.meta.params import Params

from .toy import SmoothNetwork, toy_episode, toy_initialization

NETWORK = SmoothNetwork()


def probabilities(
    network: Network, initialization: Initialization, fast_weights: Params, images: torch.Tensor
) -> torch.Tensor:
    return logits(network, initialization, fast_weights, images).softmax(1)


def test_one_step_of_a_zero_head_is_the_closed_form() -> None:
    initialization = toy_initialization(NETWORK, steps=1, head_start="zero")
    support = toy_episode().support
    adapted = adapt(NETWORK, initialization, support).fast_weights
    features = NETWORK.features(initialization.params, support.images)
    features = features / features.norm(dim=1, keepdim=True)
    # With a zero head every class has probability 1/3, so the cross-entropy's gradient by the
    # logits is (1/3 - label) times the weight of the image; the scale is 2, the step 3 x 0.2.
    weights = torch.tensor([1, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3], dtype=torch.float64) / 3
    residual = (1 / 3 - support.membership()) * weights.unsqueeze(1)
    torch.testing.assert_close(adapted[WEIGHT], -3 * 0.2 * 2 * residual.T @ features)
    torch.testing.assert_close(adapted[BIAS], -3 * 0.1 * 2 * residual.sum(0))
    # The layer sees no gradient through a head of zeros.
    torch.testing.assert_close(adapted["layer"], initialization.params["layer"])


def test_steps_follow_the_gradient_of_the_support_loss() -> None:
    initialization = toy_initialization(NETWORK, steps=2)
    support = toy_episode().support
    first, second, _ = trajectory(NETWORK, initialization, support)
    layer = first.fast_weights["layer"].clone().requires_grad_()
    moved = {**first.fast_weights, "layer": layer}
    features = NETWORK.features(moved, support.images)
    follows = start("class_means", features, support)
    loss = support_loss(head_logits({**moved, **follows}, features), support)
    (gradient,) = torch.autograd.grad(loss, layer)
    torch.testing.assert_close(
        second.fast_weights["layer"], first.fast_weights["layer"] - 0.3 * gradient
    )


def test_class_means_start_as_a_nearest_centroid_classifier() -> None:
    episode = toy_episode()
    initialization = toy_initialization(NETWORK)
    start = adapt(NETWORK, initialization, episode.support, steps=0)
    features = NETWORK.features(initialization.params, episode.support.images)
    features = features / features.norm(dim=1, keepdim=True)
    means = torch.stack([features[episode.support.labels == c].mean(0) for c in range(3)])
    queries = NETWORK.features(initialization.params, episode.query_images)
    queries = queries / queries.norm(dim=1, keepdim=True)
    expected = (-2.0 / 2 * torch.cdist(queries, means) ** 2).softmax(1)
    found = probabilities(NETWORK, initialization, start.fast_weights, episode.query_images)
    torch.testing.assert_close(found, expected)


def test_close_means_start_by_the_same_order_and_hardly_prefer_a_class() -> None:
    support = toy_episode(counts=(3, 3, 3)).support
    features = support.images.flatten(1)
    params = {SCALE: torch.tensor(8.0, dtype=features.dtype)}
    apart = head_logits({**params, **start("class_means", features, support)}, features)
    close = head_logits({**params, **start("close_means", features, support)}, features)
    torch.testing.assert_close(close.mean(1), apart.mean(1))
    centred = apart - apart.mean(1, keepdim=True)
    torch.testing.assert_close(close - close.mean(1, keepdim=True), centred * CLOSE)


def test_a_cosine_head_starts_at_class_means_of_unit_length() -> None:
    episode = toy_episode()
    initialization = toy_initialization(NETWORK, head_start="cosine")
    begun = adapt(NETWORK, initialization, episode.support, steps=0).fast_weights
    means = adapt(NETWORK, toy_initialization(NETWORK), episode.support, steps=0).fast_weights
    queries = NETWORK.features(initialization.params, episode.query_images)
    cosines = torch.nn.functional.cosine_similarity(
        queries.unsqueeze(1), means[WEIGHT].unsqueeze(0), dim=2
    )
    found = probabilities(NETWORK, initialization, begun, episode.query_images)
    torch.testing.assert_close(found, (2.0 * cosines).softmax(1))


def test_the_loss_weighs_classes_equally() -> None:
    support = toy_episode(counts=(1, 2, 3)).support
    weights = support.class_weights()
    totals = [float(weights[support.labels == label].sum()) for label in range(3)]
    assert totals == pytest.approx([1 / 3] * 3)


def test_steps_beyond_the_learned_ones_reuse_the_last_step_size() -> None:
    support = toy_episode().support
    two = toy_initialization(NETWORK, steps=2)
    sizes = {name: torch.cat([size, size[-1:]]) for name, size in two.step_sizes.items()}
    three = replace(two, step_sizes=sizes, inner_loop=replace(two.inner_loop, steps=3))
    beyond = adapt(NETWORK, two, support, steps=3).fast_weights
    within = adapt(NETWORK, three, support).fast_weights
    for name, tensor in within.items():
        torch.testing.assert_close(beyond[name], tensor, rtol=0, atol=0)


def test_tensors_without_step_sizes_stay_as_they_are() -> None:
    initialization = toy_initialization(NETWORK)
    head_only = replace(
        initialization,
        step_sizes={name: initialization.step_sizes[name] for name in (WEIGHT, BIAS)},
    )
    start, *_, end = trajectory(NETWORK, head_only, toy_episode().support)
    assert torch.equal(end.fast_weights["layer"], initialization.params["layer"])
    assert not torch.equal(end.fast_weights[WEIGHT], start.fast_weights[WEIGHT])


def test_adapting_leaves_the_initialization_untouched(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    initialization = checkpoint.initialization
    before = {
        name: tensor.clone()
        for name, tensor in {**initialization.params, **initialization.step_sizes}.items()
    }
    episode = draw_episode(classes, EpisodeShape.fixed(5, 1, 1), seeded(0))
    adapted = adapt(checkpoint.network, initialization, episode.support).fast_weights
    after = {**initialization.params, **initialization.step_sizes}
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(not torch.equal(adapted[name], before[name]) for name in initialization.params)


def test_fast_weights_hold_no_graph(checkpoint: Checkpoint, classes: ClassImages) -> None:
    episode = draw_episode(classes, EpisodeShape.fixed(5, 1, 1), seeded(0))
    with torch.no_grad():
        adapted = adapt(checkpoint.network, checkpoint.initialization, episode.support)
    assert not any(tensor.requires_grad for tensor in adapted.fast_weights.values())


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_classes_and_images_does_not_matter(
    checkpoint: Checkpoint, classes: ClassImages, seed: int
) -> None:
    network, initialization = checkpoint.network, checkpoint.initialization
    shape = EpisodeShape((5, 5), (1, 5), 5, uneven=True)
    episode = draw_episode(classes, shape, seeded(seed))
    support = episode.support
    relabelled = torch.tensor([3, 0, 4, 1, 2])
    order = torch.randperm(len(support.labels), generator=seeded(seed, 1))
    shuffled = Support(support.images[order], relabelled[support.labels[order]], 5)
    with torch.no_grad():
        one, other = (
            probabilities(
                network,
                initialization,
                adapt(network, initialization, s).fast_weights,
                episode.query_images,
            )
            for s in (support, shuffled)
        )
    torch.testing.assert_close(one, other[:, relabelled], rtol=0, atol=1e-5)


@pytest.mark.parametrize("query_views", [False, True])
def test_what_else_is_in_the_call_does_not_move_a_prediction(
    checkpoint: Checkpoint, classes: ClassImages, query_views: bool
) -> None:
    network = checkpoint.network
    episode = draw_episode(classes, EpisodeShape.fixed(5, 1, 15), seeded(0))
    inner_loop = replace(checkpoint.initialization.inner_loop, query_views=query_views)
    initialization = replace(checkpoint.initialization, inner_loop=inner_loop)
    with torch.no_grad():
        fast = adapt(network, initialization, episode.support).fast_weights
        together = probabilities(network, initialization, fast, episode.query_images)
        alone = torch.cat(
            [
                probabilities(network, initialization, fast, image.unsqueeze(0))
                for image in episode.query_images
            ]
        )
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_adaptation_stacks_over_tasks(checkpoint: Checkpoint, classes: ClassImages) -> None:
    network, initialization = checkpoint.network, checkpoint.initialization
    supports = [
        draw_episode(classes, EpisodeShape.fixed(5, 1, 1), seeded(number)).support
        for number in range(3)
    ]
    labels = supports[0].labels

    def adapted(images: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict(adapt(network, initialization, Support(images, labels, 5)).fast_weights)

    with torch.no_grad():
        stacked = torch.func.vmap(adapted)(torch.stack([s.images for s in supports]))
        for number, support in enumerate(supports):
            alone = adapted(support.images)
            for name in initialization.step_sizes:
                torch.testing.assert_close(stacked[name][number], alone[name], rtol=0, atol=1e-5)
