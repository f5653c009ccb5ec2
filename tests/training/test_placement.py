"""Where tensors live: a stand-in device tells whether everything went along."""

from __future__ import annotations

import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape, draw_episode, seeded
from inkling.meta.placement import placed
from inkling.training.augmentation import jittered
from inkling.training.recipes import Jitter

META = torch.device("meta")


def test_an_initialization_and_an_episode_go_to_a_device_as_a_whole(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    moved = placed(checkpoint.initialization, META)
    tensors = [*moved.params.values(), *moved.step_sizes.values()]
    assert {tensor.device for tensor in tensors} == {META}
    assert moved.inner_loop == checkpoint.initialization.inner_loop
    episode = draw_episode(classes.placed(META), EpisodeShape.fixed(3, 2, 1), seeded(0))
    support = episode.support
    there = (support.images, support.labels, episode.query_images, episode.query_labels)
    assert {tensor.device for tensor in there} == {META}
    assert moved.params["block1.weight"].shape == (64, 1, 3, 3)
    features = checkpoint.network.features(moved.params, support.images)
    assert (features.device, features.shape) == (META, (6, 64))


def test_draws_are_the_same_on_every_device(classes: ClassImages) -> None:
    """A generator on the CPU is drawn from as often, wherever the images are."""
    jitter = Jitter(degrees=10, shift=0.1)
    images = classes.images[0][:]
    states = []
    for device in (torch.device("cpu"), META):
        generator = seeded(1)
        assert jittered(images.to(device), jitter, torch.zeros(1, 1, 1), generator).device == device
        states.append(generator.get_state())
    assert torch.equal(*states)
