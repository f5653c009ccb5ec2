from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape, draw_episode, seeded
from inkling.meta.episode import Support
from inkling.meta.inner_loop import adapt
from inkling.meta.views import affine, draw_views, no_views, with_views

WIDEST = torch.tensor([12, 0.15, 0.1, 0.2, 0.1, 0.1])


def a_support(classes: ClassImages) -> Support:
    return draw_episode(classes, EpisodeShape.fixed(4, 2, 1), seeded(0)).support


def test_no_change_is_the_image_itself(classes: ClassImages) -> None:
    support = a_support(classes)
    seen = with_views(support, affine(torch.zeros(1, 6)))
    assert seen.images.shape[0] == 2 * len(support.labels)
    torch.testing.assert_close(seen.images[8:], support.images, rtol=0, atol=1e-5)
    assert seen.labels.tolist() == 2 * support.labels.tolist()
    assert with_views(support, no_views()) is support


def test_a_shift_moves_by_its_share_of_half_a_side(classes: ClassImages) -> None:
    support = a_support(classes)
    side = support.images.shape[-1]
    right = torch.tensor([[0, 0, 0, 0, 2 * 3 / side, 0.0]])
    moved = with_views(support, affine(right)).images[8:]
    torch.testing.assert_close(moved[..., :-3], support.images[..., 3:], rtol=0, atol=1e-4)


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
        other = adapt(checkpoint.network, plain, with_views(support, views))
    torch.testing.assert_close(one.fast_weights, other.fast_weights, rtol=0, atol=1e-6)
