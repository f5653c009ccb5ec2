from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape, draw_episode, seeded
from inkling.meta.episode import Support
from inkling.meta.head import logits as head_logits
from inkling.meta.head import unit
from inkling.meta.inner_loop import adapt, logits
from inkling.meta.views import affine, draw_views, no_views, with_views

WIDEST = torch.tensor([12, 0.15, 0.1, 0.2, 0.1, 0.1])


def a_support(classes: ClassImages) -> Support:
    return draw_episode(classes, EpisodeShape.fixed(4, 2, 1), seeded(0)).support


def test_no_change_is_the_image_itself(classes: ClassImages) -> None:
    images = a_support(classes).images
    seen = with_views(images, affine(torch.zeros(1, 6)))
    assert seen.shape == (len(images), 2, *images.shape[1:])
    assert torch.equal(seen[:, 0], images)
    torch.testing.assert_close(seen[:, 1], images, rtol=0, atol=1e-5)
    assert torch.equal(with_views(images, no_views()).squeeze(1), images)


def test_a_shift_moves_by_its_share_of_half_a_side(classes: ClassImages) -> None:
    images = a_support(classes).images
    side = images.shape[-1]
    right = torch.tensor([[0, 0, 0, 0, 2 * 3 / side, 0.0]])
    moved = with_views(images, affine(right))[:, 1]
    torch.testing.assert_close(moved[..., :-3], images[..., 3:], rtol=0, atol=1e-4)


def test_views_come_in_opposite_pairs_within_their_bounds() -> None:
    views = draw_views(3, WIDEST, seeded(1))
    assert views.shape == (6, 2, 3)
    assert not torch.equal(views[0], views[2])
    torch.testing.assert_close(views[::2, :, 2], -views[1::2, :, 2])
    assert bool((views[:, :, 2].abs() <= 0.1).all())
    assert bool((views[:, 0, 0] - 1).abs().max() < 0.3)


def test_an_initialization_keeps_its_views(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    views = draw_views(2, WIDEST, seeded(1))
    save_checkpoint(folder, checkpoint.config, replace(checkpoint.initialization, views=views))
    kept = load_checkpoint(folder)
    assert torch.equal(kept.initialization.views, views)


def test_adapting_to_views_is_adapting_to_a_larger_support_set(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    support = a_support(classes)
    views = draw_views(1, WIDEST, seeded(1))
    plain = replace(checkpoint.initialization, views=no_views())
    with torch.no_grad():
        one = adapt(checkpoint.network, replace(plain, views=views), support)
        larger = Support(
            with_views(support.images, views).flatten(0, 1), support.labels.repeat_interleave(3), 4
        )
        other = adapt(checkpoint.network, plain, larger)
    torch.testing.assert_close(one.fast_weights, other.fast_weights, rtol=0, atol=1e-6)


def test_a_query_in_views_is_classified_by_its_mean_features(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    network = checkpoint.network
    episode = draw_episode(classes, EpisodeShape.fixed(4, 2, 3), seeded(0))
    initialization = replace(
        checkpoint.initialization,
        inner_loop=replace(checkpoint.initialization.inner_loop, query_views=True),
        views=draw_views(1, WIDEST, seeded(1)),
    )
    with torch.no_grad():
        fast = adapt(network, initialization, episode.support).fast_weights
        found = logits(network, initialization, fast, episode.query_images)
        units = [
            unit(network.features(fast, images))
            for images in with_views(episode.query_images, initialization.views).unbind(1)
        ]
        expected = head_logits(fast, (units[0] + units[1] + units[2]) / 3)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert len(initialization.query_views()) == 2
