"""Every executor gives the numbers of the definition, on every network, start and shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from inkling.engine import compiled_trunk, conv4_executor
from inkling.engine.compiled_trunk import CompiledTrunk
from inkling.engine.conv4_executor import Conv4Executor
from inkling.engine.executor import EagerExecutor, Executor
from inkling.engine.executors import executor_of
from inkling.engine.helper_pool import HelperPool
from inkling.engine.shard_executor import ShardExecutor
from inkling.engine.trunk_executor import TrunkExecutor
from inkling.engine.vmap_executor import VmapExecutor
from inkling.errors import BadCheckpoint
from inkling.meta.episode import Support
from inkling.meta.head import HeadStart
from inkling.meta.inner_loop import HEAD, Initialization, InnerLoop
from inkling.meta.network import Network
from inkling.meta.views import draw_views
from inkling.networks.conv4 import Conv4
from inkling.networks.lstm import Lstm
from inkling.networks.mobilenet_v3 import MobileNetV3
from inkling.networks.resnet import ResNet
from inkling.networks.resnet12 import ResNet12

from tests.networks.parameters import drawn

TOLERANCE = 1e-5
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=[1, 3], ids=["one-thread", "three-threads"])
def helpers(request: pytest.FixtureRequest) -> Iterator[HelperPool]:
    helpers: int = request.param - 1
    started = HelperPool(helpers, lambda: helpers, on_start=lambda: torch.set_num_threads(1))
    yield started
    started.close()


def initialization_of(
    network: Network,
    start: HeadStart = "class_means",
    adapting: frozenset[str] | None = None,
    *,
    each_number: bool = False,
    view_pairs: int = 0,
    query_views: bool = False,
    damping: float | None = None,
) -> Initialization:
    """Drawn parameters; all that may adapt does unless ``adapting`` says what."""
    generator = torch.Generator().manual_seed(1)
    params = {**drawn(network), "head.scale": torch.tensor(8.0)}
    every = frozenset().union(*network.parts) - network.fixed()
    steps = 3

    def size(name: str) -> torch.Tensor:
        shape = params[name].shape if each_number and name in params else ()
        return 0.02 * torch.rand((steps, *shape), generator=generator)

    names = (every if adapting is None else adapting) | HEAD
    return Initialization(
        params=params,
        step_sizes={name: size(name) for name in sorted(names)},
        inner_loop=InnerLoop(steps, start, query_views, damping),
        views=draw_views(view_pairs, torch.full((6,), 0.1), generator),
    )


def support_of(network: Network, counts: tuple[int, ...], seed: int = 0) -> Support:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    images = torch.rand((len(labels), *network.input_shape), generator=generator)
    return Support(images + 0.3 * labels.view(-1, 1, 1, 1), labels, len(counts))


def frozen(executor: Executor, initialization: Initialization, support: Support) -> Support:
    images = executor.frozen_features(support.images, initialization.views)
    return Support(images, support.labels, support.n_way)


def check(
    executor: Executor, network: Network, initialization: Initialization, *supports: Support
) -> None:
    """Adapt to the support sets together, classify other images together, compare each."""
    for steps in (initialization.inner_loop.steps, initialization.inner_loop.steps + 1):
        check_after(steps, executor, network, initialization, *supports)


@torch.no_grad()
def check_after(
    steps: int,
    executor: Executor,
    network: Network,
    initialization: Initialization,
    *supports: Support,
) -> None:
    definition = EagerExecutor(network, initialization)
    queries = [support_of(network, (2, 1), seed=7 + place).images for place in range(len(supports))]
    outcomes = executor.adapt([frozen(executor, initialization, s) for s in supports], steps)
    scores = executor.logits(
        [outcome.adapted for outcome in outcomes],
        [executor.frozen_features(images, initialization.query_views()) for images in queries],
    )
    for support, outcome, images, found in zip(supports, outcomes, queries, scores, strict=True):
        expected = definition.adapt([frozen(definition, initialization, support)], steps)[0]
        assert outcome.adapted.keys() == expected.adapted.keys()
        for name, tensor in expected.adapted.items():
            difference = (outcome.adapted[name] - tensor).abs()
            # Where two places of a pooling square are equal but for rounding, either may win it.
            assert float(difference.mean()) < TOLERANCE
            assert float(difference.max()) < 10 * TOLERANCE
        torch.testing.assert_close(outcome.losses, expected.losses, rtol=0, atol=TOLERANCE)
        torch.testing.assert_close(
            outcome.scores.softmax(1), expected.scores.softmax(1), rtol=0, atol=TOLERANCE
        )
        rest = definition.frozen_features(images, initialization.query_views())
        wanted = definition.logits([expected.adapted], [rest])[0]
        torch.testing.assert_close(found.softmax(1), wanted.softmax(1), rtol=0, atol=TOLERANCE)


SMALL = Conv4(channels=8, image_size=28, norm="stored")
NARROW = Conv4(channels=2, image_size=28, norm="stored")
COLOUR = Conv4(channels=8, image_channels=3, image_size=84, norm="stored")
LAST = frozenset({"block4.weight", "block4.gain", "block4.bias"})


@pytest.mark.parametrize("counts", [(1, 1), (3, 1, 2), (5, 5, 5, 5, 5), (1,) * 20])
@pytest.mark.parametrize("network", [SMALL, NARROW, COLOUR], ids=["grey-28", "narrow", "colour-84"])
def test_blocks_at_every_shape(
    helpers: HelperPool, network: Conv4, counts: tuple[int, ...]
) -> None:
    initialization = initialization_of(network)
    executor = Conv4Executor(network, initialization, helpers)
    check(executor, network, initialization, support_of(network, counts))


@pytest.mark.parametrize("start", ["zero", "class_means", "cosine"])
@pytest.mark.parametrize("adapting", [None, LAST, frozenset(), frozenset({"block2.gain"})])
def test_blocks_with_every_start_and_whatever_adapts(
    helpers: HelperPool, start: HeadStart, adapting: frozenset[str] | None
) -> None:
    initialization = initialization_of(
        SMALL, start, adapting, view_pairs=1, query_views=adapting == LAST
    )
    executor = Conv4Executor(SMALL, initialization, helpers)
    check(executor, SMALL, initialization, support_of(SMALL, (2, 1, 3)))


def test_blocks_with_a_step_size_for_each_number(helpers: HelperPool) -> None:
    initialization = initialization_of(SMALL, each_number=True)
    executor = Conv4Executor(SMALL, initialization, helpers)
    check(executor, SMALL, initialization, support_of(SMALL, (2, 1)))


@pytest.mark.parametrize("size", [1e2, 1e6, 1e12, 1e18, 1e25, 1e35])
@pytest.mark.parametrize("adapting", [None, LAST], ids=["all", "last"])
@torch.no_grad()
def test_blocks_that_diverge_where_the_definition_does(
    helpers: HelperPool, size: float, adapting: frozenset[str] | None
) -> None:
    initialization = initialization_of(SMALL, "zero", adapting)
    wild = replace(
        initialization,
        step_sizes={name: size + sizes for name, sizes in initialization.step_sizes.items()},
    )
    support = support_of(SMALL, (2, 2))
    losses = []
    for executor in (EagerExecutor(SMALL, wild), Conv4Executor(SMALL, wild, helpers)):
        outcome = executor.adapt([frozen(executor, wild, support)], 3)[0]
        sound = all(bool(tensor.isfinite().all()) for tensor in outcome.adapted.values())
        losses.append(bool(outcome.losses.isfinite().all()) and sound)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("sessions", [2, 11])
def test_blocks_of_several_sessions(helpers: HelperPool, sessions: int) -> None:
    initialization = initialization_of(SMALL, adapting=LAST, view_pairs=1, query_views=True)
    executor = Conv4Executor(SMALL, initialization, helpers)
    counts = [(1, 2), (2, 1, 1), (1, 1, 1, 1)]
    supports = [support_of(SMALL, counts[place % 3], seed=place) for place in range(sessions)]
    check(executor, SMALL, initialization, *supports)


def test_blocks_that_are_shared_out_among_threads(
    helpers: HelperPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv4_executor, "FLOPS_WORTH_SHARING", 1.0)
    initialization = initialization_of(SMALL, view_pairs=1, query_views=True)
    executor = Conv4Executor(SMALL, initialization, helpers)
    check(executor, SMALL, initialization, support_of(SMALL, (2, 1, 3)))


def test_blocks_of_the_width_that_ships(helpers: HelperPool) -> None:
    network = Conv4()
    initialization = initialization_of(network, "class_means", LAST, view_pairs=2, query_views=True)
    executor = Conv4Executor(network, initialization, helpers)
    check(executor, network, initialization, support_of(network, (5,) * 5))


@pytest.mark.parametrize(
    "network",
    [
        SMALL,
        Conv4(channels=8, norm="group"),
        Conv4(channels=8, norm="layer"),
        ResNet12(image_channels=1, image_size=16),
        Lstm(image_size=16),
    ],
    ids=["stored", "group", "layer", "resnet12", "lstm"],
)
def test_stacked_uneven_support_sets_on_every_network(network: Network) -> None:
    adapting: frozenset[str] | None = frozenset() if isinstance(network, ResNet12) else None
    initialization = initialization_of(network, adapting=adapting, view_pairs=1, query_views=True)
    executor = VmapExecutor(network, initialization)
    supports = [support_of(network, counts) for counts in ((1, 1, 1), (2, 3, 1), (1, 4, 1))]
    check(executor, network, initialization, *supports)


@pytest.mark.parametrize(
    "network",
    [
        SMALL,
        Conv4(channels=8, norm="group"),
        ResNet12(image_channels=1, image_size=16, channels=8),
        Lstm(image_size=16),
    ],
    ids=["stored", "group", "resnet12", "lstm"],
)
@pytest.mark.parametrize("start", ["zero", "class_means", "cosine"])
def test_shards_on_every_network_and_start(
    helpers: HelperPool, network: Network, start: HeadStart
) -> None:
    initialization = initialization_of(network, start, view_pairs=1, query_views=start == "cosine")
    executor = ShardExecutor(network, initialization, helpers)
    check(executor, network, initialization, support_of(network, (2, 1, 3)))


@pytest.mark.parametrize("network", [ResNet(18, 32), MobileNetV3("small", 32)], ids=str)
def test_backbones_stacked_and_in_shards(helpers: HelperPool, network: Network) -> None:
    initialization = initialization_of(
        network, adapting=network.parts[-1], view_pairs=1, damping=0.1
    )
    supports = [support_of(network, counts) for counts in ((2, 1, 3), (1, 1, 1))]
    check(ShardExecutor(network, initialization, helpers), network, initialization, *supports)
    check(VmapExecutor(network, initialization), network, initialization, *supports)


@pytest.mark.parametrize("adapting", [LAST, frozenset(), frozenset({"head.scale"})])
def test_shards_whatever_adapts(helpers: HelperPool, adapting: frozenset[str]) -> None:
    initialization = initialization_of(SMALL, adapting=adapting, each_number=adapting == LAST)
    executor = ShardExecutor(SMALL, initialization, helpers)
    check(executor, SMALL, initialization, support_of(SMALL, (1, 1, 2)))


@pytest.mark.parametrize("adapting", [LAST, frozenset()], ids=["last", "head"])
@pytest.mark.parametrize("start", ["zero", "class_means"])
def test_steps_by_curvature(
    helpers: HelperPool, start: HeadStart, adapting: frozenset[str]
) -> None:
    initialization = initialization_of(SMALL, start, adapting, view_pairs=1, damping=0.1)
    supports = [support_of(SMALL, counts) for counts in ((2, 1, 3), (1, 1, 1), (9, 8, 9))]
    check(ShardExecutor(SMALL, initialization, helpers), SMALL, initialization, *supports)
    check(VmapExecutor(SMALL, initialization), SMALL, initialization, *supports)


@pytest.mark.parametrize("start", ["zero", "class_means"])
@pytest.mark.parametrize("query_views", [False, True])
def test_a_trunk_on_few_and_many_images(
    helpers: HelperPool, start: HeadStart, query_views: bool
) -> None:
    adapting: frozenset[str] = frozenset()
    initialization = initialization_of(
        SMALL, start, adapting, view_pairs=1, query_views=query_views, damping=0.1
    )
    halved = replace(
        initialization, inner_loop=replace(initialization.inner_loop, half_features=query_views)
    )
    executor = TrunkExecutor(SMALL, halved, helpers)
    # Rows of images and views are fewer than features, then more.
    supports = [support_of(SMALL, counts) for counts in ((2, 1, 3), (9, 8, 9))]
    check(executor, SMALL, halved, *supports)


@torch.no_grad()
def test_a_view_is_the_same_whatever_views_are_beside_it(helpers: HelperPool) -> None:
    initialization = initialization_of(SMALL, adapting=frozenset(), view_pairs=2, damping=0.1)
    executor = TrunkExecutor(SMALL, initialization, helpers)
    images = support_of(SMALL, (2, 1)).images
    every = executor.frozen_features(images, initialization.views)
    assert every.shape == (3, 5, SMALL.feature_size)
    assert torch.equal(executor.frozen_features(images, initialization.views[:2]), every[:, :3])
    assert torch.equal(executor.frozen_features(images[1:2], initialization.views), every[1:2])


def test_an_export_that_computes_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    initialization = initialization_of(SMALL, adapting=frozenset(), damping=0.1)
    monkeypatch.setattr(compiled_trunk, "kept_folder", lambda: tmp_path)
    stop = len(SMALL.parts)
    CompiledTrunk(SMALL, initialization.params, stop)
    (kept,) = tmp_path.glob("trunk-*.onnx")
    other = initialization_of(SMALL, adapting=frozenset(), damping=0.1)
    params = {name: tensor * 1.5 for name, tensor in other.params.items()}
    CompiledTrunk(SMALL, params, stop)
    (of_others,) = set(tmp_path.glob("trunk-*.onnx")) - {kept}
    kept.write_bytes(of_others.read_bytes())
    with pytest.raises(BadCheckpoint, match="expected ONNX Runtime to compute what the network"):
        CompiledTrunk(SMALL, initialization.params, stop)
    kept.write_bytes(b"damaged")
    CompiledTrunk(SMALL, initialization.params, stop)
    assert kept.read_bytes() != b"damaged"


def test_what_serves_which_initialization(helpers: HelperPool) -> None:
    def chosen(
        network: Network,
        adapting: frozenset[str] | None = None,
        damping: float | None = None,
    ) -> str:
        initialization = initialization_of(network, adapting=adapting, damping=damping)
        return executor_of(network, initialization, CPU, helpers).name

    assert chosen(SMALL) == "conv4"
    assert chosen(Conv4(channels=8, norm="group")) == "shards"
    assert chosen(Lstm(image_size=16)) == "shards"
    assert chosen(SMALL, adapting=frozenset({"head.scale"})) == "shards"
    assert chosen(SMALL, damping=0.1) == "shards"
    assert chosen(SMALL, adapting=frozenset(), damping=0.1) == "trunk"


def test_a_part_that_fails_raises_where_the_work_was_asked_for(helpers: HelperPool) -> None:
    def work(part: int) -> int:
        return 10 // (part - 2)

    with pytest.raises(ZeroDivisionError):
        helpers.map(work, 4)
    assert helpers.map(lambda part: part * part, 5) == [0, 1, 4, 9, 16]
