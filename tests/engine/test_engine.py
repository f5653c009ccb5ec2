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
from inkling.engine.handle import Handle
from inkling.engine.work import Adaptation, Fold, Images, Queries, SupportSet
from inkling.errors import BadImages, BadSetting, InnerLoopDiverged
from inkling.images.prepared import Prepared
from inkling.meta.episode import Episode
from inkling.meta.inner_loop import adapt, logits

SHAPE = EpisodeShape((3, 8), (1, 5), 3, uneven=True)
CPU = torch.device("cpu")


@pytest.fixture
def engine() -> Iterator[Engine]:
    started = Engine(device=CPU, workers=2, queue_limit=8)
    yield started
    started.close()


@pytest.fixture
def handle(engine: Engine, checkpoint: Checkpoint) -> Handle:
    return engine.load(checkpoint)


def prepared(images: torch.Tensor) -> Prepared:
    return Prepared(images, (False,) * len(images), torch.zeros(len(images), 5))


def support_of(episode: Episode) -> SupportSet:
    support = episode.support
    return SupportSet(prepared(support.images), support.labels, support.n_way)


def probabilities(
    engine: Engine, handle: Handle, episode: Episode, adaptation: Adaptation
) -> torch.Tensor:
    counts = episode.support.labels.bincount().tolist()
    queries = Queries(prepared(episode.query_images), adaptation.adapted, counts)
    classified = engine.predict(handle, queries).result()
    return torch.tensor([row for row, _ in classified.scores])


@torch.no_grad()
def defined(checkpoint: Checkpoint, episode: Episode) -> tuple[float, torch.Tensor]:
    """The last support loss and the queries' probabilities, as `meta` defines them."""
    network, initialization = checkpoint.network, checkpoint.initialization
    last = adapt(network, initialization, episode.support)
    rows = logits(network, initialization, last.fast_weights, episode.query_images)
    return float(last.loss), checkpoint.scoring.probabilities(rows)


@pytest.mark.parametrize("seed", range(3))
def test_the_engine_computes_what_meta_defines(
    engine: Engine, handle: Handle, classes: ClassImages, seed: int
) -> None:
    episode = draw_episode(classes, SHAPE, seeded(seed))
    adaptation = engine.adapt(handle, support_of(episode)).result()
    loss, expected = defined(handle.checkpoint, episode)
    assert len(adaptation.losses) == handle.steps + 1
    assert adaptation.losses[-1] == pytest.approx(loss, abs=1e-6)
    found = probabilities(engine, handle, episode, adaptation)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_same_call_twice_gives_bit_equal_answers(
    engine: Engine, handle: Handle, classes: ClassImages
) -> None:
    episode = draw_episode(classes, SHAPE, seeded(0))
    answers = []
    for _ in range(2):
        adaptation = engine.adapt(handle, support_of(episode)).result()
        answers.append((adaptation.losses, probabilities(engine, handle, episode, adaptation)))
    assert answers[0][0] == answers[1][0]
    assert torch.equal(answers[0][1], answers[1][1])


def test_images_kept_from_before_come_first(
    engine: Engine, handle: Handle, classes: ClassImages
) -> None:
    episode = draw_episode(classes, SHAPE, seeded(2))
    whole = support_of(episode)
    images = episode.support.images
    grown = replace(whole, images=prepared(images[2:]), kept=images[:2])
    expected, found = (engine.adapt(handle, each).result() for each in (whole, grown))
    assert found.losses == expected.losses
    assert len(found.blank) == len(images) - 2


def test_a_diverging_inner_loop_is_refused(
    engine: Engine, checkpoint: Checkpoint, classes: ClassImages
) -> None:
    initialization = checkpoint.initialization
    sizes = {name: size + 1e30 for name, size in initialization.step_sizes.items()}
    wild = replace(checkpoint, initialization=replace(initialization, step_sizes=sizes))
    episode = draw_episode(classes, SHAPE, seeded(0))
    with pytest.raises(InnerLoopDiverged) as refused:
        engine.adapt(engine.load(wild), support_of(episode)).result()
    assert not math.isfinite(refused.value.loss)


def test_a_damaged_image_ends_its_own_job_alone_and_is_named(
    engine: Engine, handle: Handle, drawings: dict[str, list[bytes]]
) -> None:
    whole, *more = next(iter(drawings.values()))
    labels = torch.tensor([0, 1])

    def adapted(images: Images) -> SupportSet:
        return SupportSet(images, labels, 2)

    good = [engine.adapt(handle, adapted([whole, more[0]])) for _ in range(3)]
    cut_off = more[1][: len(more[1]) // 2]
    bad = engine.adapt(handle, adapted([whole, cut_off]))
    with pytest.raises(BadImages) as refused:
        bad.result()
    assert {position: each.code for position, each in refused.value.by_position.items()} == {
        1: "damaged"
    }
    first, *others = (job.result().losses for job in good)
    assert all(losses == pytest.approx(first, abs=1e-6) for losses in others)


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


def held_out(engine: Engine, handle: Handle, episode: Episode) -> torch.Tensor:
    """The queries' probabilities, as a fold of a support set that they belong to."""
    support = episode.support
    images = torch.cat([support.images, episode.query_images])
    fold = Fold(
        engine.freeze(handle, images).result(),
        torch.cat([support.labels, episode.query_labels]),
        support.n_way,
        range(len(support.images), len(images)),
    )
    return handle.scoring.probabilities(engine.hold_out(handle, fold).result())


def test_holding_out_is_adapting_to_the_others_and_predicting(
    engine: Engine, handle: Handle, classes: ClassImages
) -> None:
    episode = draw_episode(classes, SHAPE, seeded(1))
    adaptation = engine.adapt(handle, support_of(episode)).result()
    expected = probabilities(engine, handle, episode, adaptation)
    found = held_out(engine, handle, episode)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_answers_as_the_cpu_does(
    engine: Engine, checkpoint: Checkpoint, classes: ClassImages
) -> None:
    on_gpu = Engine(device=torch.device("cuda"), workers=1, queue_limit=8)
    for seed in range(20):
        episode = draw_episode(classes, SHAPE, seeded(seed))
        found = []
        for each in (engine, on_gpu):
            handle = each.load(checkpoint)
            adaptation = each.adapt(handle, support_of(episode)).result()
            found.append(probabilities(each, handle, episode, adaptation))
            found.append(held_out(each, handle, episode))
        for other in found[1:]:
            torch.testing.assert_close(found[0], other, rtol=0, atol=1e-5)
    on_gpu.close()
