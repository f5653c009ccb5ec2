from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.data.episodes import ClassImages, EpisodeShape, draw_episode, seeded
from inkling.engine.device import available_cores, choose_device
from inkling.engine.engine import Engine
from inkling.errors import BadSetting, InnerLoopDiverged
from inkling.meta.episode import Episode
from inkling.meta.inner_loop import adapt, logits

SHAPE = EpisodeShape((3, 8), (1, 5), 3, uneven=True)


@pytest.fixture
def engine(checkpoint: Checkpoint) -> Iterator[Engine]:
    started = Engine([checkpoint], device=torch.device("cpu"), workers=2, queue_limit=8)
    yield started
    started.close()


@pytest.mark.parametrize("seed", range(3))
def test_the_engine_computes_what_meta_defines(
    engine: Engine, checkpoint: Checkpoint, classes: ClassImages, seed: int
) -> None:
    episode = draw_episode(classes, SHAPE, seeded(seed))
    adaptation = engine.adapt(checkpoint.identity, episode.support, steps=None, deadline_seconds=60)
    found = engine.predict(
        checkpoint.identity, adaptation.adapted, episode.query_images, deadline_seconds=60
    )
    with torch.no_grad():
        last = adapt(checkpoint.network, checkpoint.initialization, episode.support)
        expected = logits(
            checkpoint.network,
            checkpoint.initialization,
            last.fast_weights,
            episode.query_images,
        )
    assert len(adaptation.losses) == checkpoint.initialization.inner_loop.steps + 1
    assert adaptation.losses[-1] == pytest.approx(float(last.loss), abs=1e-6)
    torch.testing.assert_close(found.logits, expected, rtol=0, atol=1e-4)


def test_the_same_call_twice_gives_bit_equal_answers(
    engine: Engine, checkpoint: Checkpoint, classes: ClassImages
) -> None:
    episode = draw_episode(classes, SHAPE, seeded(0))
    answers = []
    for _ in range(2):
        adaptation = engine.adapt(
            checkpoint.identity, episode.support, steps=None, deadline_seconds=60
        )
        classified = engine.predict(
            checkpoint.identity, adaptation.adapted, episode.query_images, deadline_seconds=60
        )
        answers.append((adaptation.losses, classified.logits))
    assert answers[0][0] == answers[1][0]
    assert torch.equal(answers[0][1], answers[1][1])


def test_a_diverging_inner_loop_is_refused(checkpoint: Checkpoint, classes: ClassImages) -> None:
    initialization = checkpoint.initialization
    wild = replace(
        checkpoint,
        initialization=replace(
            initialization,
            step_sizes={name: size + 1e30 for name, size in initialization.step_sizes.items()},
        ),
    )
    engine = Engine([wild], device=torch.device("cpu"), workers=1, queue_limit=1)
    episode = draw_episode(classes, SHAPE, seeded(0))
    with pytest.raises(InnerLoopDiverged) as refused:
        engine.adapt(wild.identity, episode.support, steps=None, deadline_seconds=math.inf)
    engine.close()
    assert not math.isfinite(refused.value.loss)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_asking_for_a_gpu_where_there_is_none_is_refused() -> None:
    with pytest.raises(BadSetting, match="CUDA"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("limit", "expected"), [("max 100000", None), ("50000 100000", 1), ("100000 100000", 1)]
)
def test_a_cpu_quota_bounds_the_cores_that_are_used(
    tmp_path: Path, limit: str, expected: int | None
) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    found = available_cores(tmp_path / "cpu.max")
    assert found == (expected or available_cores(tmp_path / "missing"))


def test_auto_takes_what_there_is() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected


def classified_from_frozen(
    engine: Engine, checkpoint: Checkpoint, episode: Episode
) -> torch.Tensor:
    identity = checkpoint.identity
    support, queries = (
        engine.frozen_features(identity, images, deadline_seconds=60)
        for images in (episode.support.images, episode.query_images)
    )
    return engine.classify_others(
        identity,
        replace(episode.support, images=support),
        queries,
        steps=None,
        deadline_seconds=60,
    )


def test_classifying_from_rest_is_adapting_and_predicting(
    engine: Engine, checkpoint: Checkpoint, classes: ClassImages
) -> None:
    episode = draw_episode(classes, SHAPE, seeded(1))
    identity = checkpoint.identity
    adapted = engine.adapt(identity, episode.support, steps=None, deadline_seconds=60).adapted
    expected = engine.predict(identity, adapted, episode.query_images, deadline_seconds=60).logits
    found = classified_from_frozen(engine, checkpoint, episode)
    torch.testing.assert_close(found.softmax(1), expected.softmax(1), rtol=0, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_answers_as_the_cpu_does(
    engine: Engine, checkpoint: Checkpoint, classes: ClassImages
) -> None:
    on_gpu = Engine([checkpoint], device=torch.device("cuda"), workers=1, queue_limit=8)
    for seed in range(20):
        episode = draw_episode(classes, SHAPE, seeded(seed))
        found = []
        for each in (engine, on_gpu):
            adaptation = each.adapt(
                checkpoint.identity, episode.support, steps=None, deadline_seconds=60
            )
            classified = each.predict(
                checkpoint.identity, adaptation.adapted, episode.query_images, deadline_seconds=60
            )
            found.append(classified.logits.softmax(1))
            found.append(classified_from_frozen(each, checkpoint, episode).softmax(1))
        for other in found[1:]:
            torch.testing.assert_close(found[0], other, rtol=0, atol=1e-5)
    on_gpu.close()
