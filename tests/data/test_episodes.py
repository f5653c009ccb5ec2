from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from inkling.data.episodes import (
    ClassImages,
    EpisodeShape,
    draw_episode,
    plan_episode,
    seeded,
)
from inkling.errors import BadData


def test_an_episode_has_the_shape_asked_for(classes: ClassImages) -> None:
    episode = draw_episode(classes, EpisodeShape.fixed(5, 3, 7), seeded(0))
    assert episode.support.images.shape == (15, 1, 28, 28)
    assert episode.support.labels.bincount().tolist() == [3] * 5
    assert episode.query_labels.bincount().tolist() == [7] * 5


def test_support_and_query_share_no_image_and_classes_are_distinct() -> None:
    for number in range(50):
        plan = plan_episode([20] * 30, EpisodeShape.fixed(10, 5, 15), seeded(0, number))
        assert len(set(plan.classes)) == 10
        for support, query in zip(plan.support, plan.query, strict=True):
            assert not set(support) & set(query)
            assert len(set(support)) == 5
            assert len(set(query)) == 15


def test_ranges_are_drawn_from_end_to_end() -> None:
    shape = EpisodeShape((2, 6), (1, 4), 1, uneven=True)
    plans = [plan_episode([20] * 10, shape, seeded(0, number)) for number in range(200)]
    assert {len(plan.classes) for plan in plans} == {2, 3, 4, 5, 6}
    assert {len(members) for plan in plans for members in plan.support} == {1, 2, 3, 4}
    assert any(len({len(members) for members in plan.support}) > 1 for plan in plans)


def test_the_same_seed_gives_the_same_episode_and_another_another() -> None:
    shape = EpisodeShape.fixed(5, 1, 5)
    one, same, other = (
        plan_episode([20] * 50, shape, seeded(*s)) for s in [(1, 2), (1, 2), (2, 1)]
    )
    assert one == same
    assert one != other


def test_classes_with_too_few_images_are_not_drawn() -> None:
    counts = [3, 20, 3, 20]
    plan = plan_episode(counts, EpisodeShape.fixed(2, 1, 5), seeded(0))
    assert set(plan.classes) == {1, 3}
    with pytest.raises(BadData, match="at least 3 classes of 6 images"):
        plan_episode(counts, EpisodeShape.fixed(3, 1, 5), seeded(0))


def test_rotations_are_classes_of_their_own(classes: ClassImages) -> None:
    turned = classes.with_rotations()
    assert len(turned.names) == 4 * len(classes.names)
    assert turned.names[:2] == ("Angelic_01/rot000", "Angelic_01/rot090")
    assert torch.equal(turned.images[2][:], classes.images[0][:].flip(-1, -2))


def test_joined_classes_keep_their_names_groups_and_images(classes: ClassImages) -> None:
    mirrored = classes.mirrored()
    joined = classes.joined(mirrored)
    assert joined.names == classes.names + mirrored.names
    assert joined.groups == classes.groups + mirrored.groups
    assert torch.equal(joined.images[-1][:], mirrored.images[-1][:])


def test_in_a_group_classes_are_of_one_group_and_as_many_as_it_has() -> None:
    groups = ["a"] * 3 + ["b"] * 8 + ["lonely"]
    shape = EpisodeShape.fixed(5, 1, 15)
    counts = [10, 10, 10] + [30] * 8 + [30]
    plans = [plan_episode(counts, shape, seeded(0, number), groups) for number in range(60)]
    drawn = [{groups[index] for index in plan.classes} for plan in plans]
    assert {frozenset(each) for each in drawn} == {frozenset("a"), frozenset("b")}
    for plan, (group,) in zip(plans, drawn, strict=True):
        assert len(plan.classes) == {"a": 3, "b": 5}[group]
        assert {len(query) for query in plan.query} == {{"a": 9, "b": 15}[group]}
    assert 15 < sum("a" in each for each in drawn) < 45


def test_no_group_of_two_classes_with_enough_images_is_refused() -> None:
    shape = EpisodeShape.fixed(5, 1, 4)
    with pytest.raises(BadData, match="at least 2 classes of 5 images"):
        plan_episode([9, 9, 3], shape, seeded(0), ["a", "b", "a"])


def test_classes_that_are_told_apart_in_groups_draw_from_one(classes: ClassImages) -> None:
    groups = tuple("ab"[index % 2] for index in range(len(classes.names)))
    domains = replace(classes, groups=groups, in_groups=True).mirrored()
    for number in range(10):
        plan = domains.plan(EpisodeShape.fixed(3, 1, 2), seeded(0, number))
        assert len({groups[index] for index in plan.classes}) == 1
