from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.episodes import ClassImages, EpisodePlan, EpisodeShape, realize
from inkling.meta.inner_loop import adapt, logits
from inkling.meta.params import Params
from inkling.meta.views import no_views
from inkling.training.candidate import Inductive, embed, without_network_steps
from inkling.training.datasets import for_episodes
from inkling.training.evaluation import (
    Interval,
    Setting,
    evaluate,
    evaluate_by_step,
    evaluate_nearest_centroid,
)

SETTING = Setting(EpisodeShape.fixed(5, 1, 5), episodes=8, seed=3)


def test_the_interval_is_the_normal_one() -> None:
    interval = Interval.of([0.8, 1.0, 0.9, 0.7])
    deviation = math.sqrt((0.05**2 + 0.15**2 + 0.05**2 + 0.15**2) / 3)
    assert interval.mean == pytest.approx(0.85)
    assert interval.half_width == pytest.approx(1.96 * deviation / 2)


def test_the_same_seed_measures_the_same(checkpoint: Checkpoint, classes: ClassImages) -> None:
    network, initialization = checkpoint.network, checkpoint.initialization
    evaluations = [evaluate(Inductive(network, initialization, classes), SETTING) for _ in range(2)]
    assert evaluations[0] == evaluations[1]
    assert evaluations[0].accuracy.mean > 0.9


def test_episodes_of_one_group_are_told_by_group_too(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    network, initialization = checkpoint.network, checkpoint.initialization
    assert evaluate(Inductive(network, initialization, classes), SETTING).by_group is None
    half = len(classes.names) // 2
    grouped = replace(
        classes, groups=("a",) * half + ("b",) * (len(classes.names) - half), in_groups=True
    )
    told: dict[str, list[float]] = {"a": [], "b": []}

    def note(plan: EpisodePlan, _fast_weights: Params, rows: torch.Tensor) -> None:
        right = (rows.argmax(1) == plan.query_labels()).float().mean()
        told[grouped.groups[plan.classes[0]]].append(float(right))

    evaluation = evaluate(Inductive(network, initialization, grouped), SETTING, on_logits=note)
    means = {group: sum(shares) / len(shares) for group, shares in told.items()}
    assert dict(evaluation.by_group or {}) == pytest.approx(means)


def test_nothing_is_taken_from_the_queries(checkpoint: Checkpoint, classes: ClassImages) -> None:
    """An episode with fewer queries has the same answers for those that are left."""
    seen: list[dict[tuple[int, int], torch.Tensor]] = []
    for n_query in (5, 1):

        def note(plan: EpisodePlan, _fast_weights: Params, rows: torch.Tensor) -> None:
            images = [
                (c, i) for c, members in zip(plan.classes, plan.query, strict=True) for i in members
            ]
            seen[-1].update(zip(images, rows, strict=True))

        seen.append({})
        setting = Setting(EpisodeShape.fixed(5, 1, n_query), 1, 0)
        evaluate(
            Inductive(checkpoint.network, checkpoint.initialization, classes),
            setting,
            on_logits=note,
        )
    many, few = seen
    assert len(few) == 5
    for image, row in few.items():
        torch.testing.assert_close(row, many[image], rtol=0, atol=1e-5)


def test_with_no_steps_class_means_are_nearest_centroid(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    network, initialization = checkpoint.network, checkpoint.initialization
    assert initialization.inner_loop.head_start == "class_means"
    unmoved = replace(initialization, views=no_views())
    evaluation = evaluate(Inductive(network, unmoved, classes), SETTING, steps=0)
    assert evaluation.accuracy == evaluation.nearest_centroid
    assert evaluation.difference == Interval(0, 0)
    alone = evaluate_nearest_centroid(Inductive(network, initialization, classes), SETTING)
    assert alone == evaluation.nearest_centroid


def test_the_adaptation_curve_goes_through_the_accuracies_of_its_steps(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    network, initialization = checkpoint.network, checkpoint.initialization
    curve = evaluate_by_step(Inductive(network, initialization, classes), SETTING, steps=3)
    for steps in (0, 3):
        evaluation = evaluate(Inductive(network, initialization, classes), SETTING, steps=steps)
        assert curve[steps] == evaluation.accuracy
    assert len(curve) == 4


def test_held_out_episodes_draw_from_rotations_in_vinyals_division_alone(
    classes: ClassImages,
) -> None:
    assert len(for_episodes("vinyals", classes).names) == 4 * len(classes.names)
    assert for_episodes("omniglot", classes) is classes


def test_the_zero_step_row_is_the_accuracy_of_the_heads_start(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    network, initialization = checkpoint.network, checkpoint.initialization
    evaluation = evaluate(Inductive(network, initialization, classes), SETTING)
    assert (
        evaluation.zero_steps
        == evaluate(Inductive(network, initialization, classes), SETTING, steps=0).accuracy
    )
    zero_head = replace(
        initialization, inner_loop=replace(initialization.inner_loop, head_start="zero")
    )
    untold = evaluate(Inductive(network, zero_head, classes), SETTING)
    assert untold.zero_steps.mean == pytest.approx(1 / 5)
    assert untold.difference_to_zero_steps.mean == pytest.approx(untold.accuracy.mean - 1 / 5)


def test_nearest_centroid_in_other_features_stands_beside(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    network, initialization = checkpoint.network, checkpoint.initialization
    own = embed(network, initialization, classes)
    evaluation = evaluate(Inductive(network, initialization, classes), SETTING, pretrained=own)
    assert evaluation.pretrained_centroid == evaluation.nearest_centroid
    assert evaluation.difference_to_pretrained == evaluation.difference


@pytest.mark.parametrize("query_views", [False, True])
def test_what_episodes_share_moves_no_answer(
    checkpoint: Checkpoint, classes: ClassImages, query_views: bool
) -> None:
    """All images at once through what does not adapt, against each episode by itself."""
    network = checkpoint.network
    inner_loop = replace(checkpoint.initialization.inner_loop, query_views=query_views)
    initialization = replace(checkpoint.initialization, inner_loop=inner_loop)
    candidate = Inductive(network, initialization, classes)
    with torch.no_grad():
        for plan in SETTING.plans(classes):
            episode = realize(classes, plan)
            *_, shared = candidate.trajectory(plan, None)
            alone = adapt(network, initialization, episode.support)
            expected = logits(network, initialization, alone.fast_weights, episode.query_images)
            answers = candidate.logits(plan, shared.fast_weights)
            torch.testing.assert_close(answers.softmax(1), expected.softmax(1), rtol=0, atol=1e-5)
            images = [
                (c, i) for c, members in zip(plan.classes, plan.query, strict=True) for i in members
            ]
            torch.testing.assert_close(candidate.logits_of(images, shared.fast_weights), answers)


def test_the_head_alone_stands_beside_where_more_than_it_adapts(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    network, initialization = checkpoint.network, checkpoint.initialization
    evaluation = evaluate(Inductive(network, initialization, classes), SETTING)
    frozen = without_network_steps(initialization)
    assert frozen is not None
    assert set(frozen.step_sizes) == {"head.weight", "head.bias"}
    alone = evaluate(Inductive(network, frozen, classes), SETTING)
    assert evaluation.head_alone == alone.accuracy
    assert evaluation.difference_to_head_alone is not None
    assert evaluation.difference_to_head_alone.mean == pytest.approx(
        evaluation.accuracy.mean - alone.accuracy.mean
    )
    assert alone.head_alone is None
    assert without_network_steps(frozen) is None
