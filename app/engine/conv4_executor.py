"""The inner loop of Conv4 with stored statistics on a CPU, by kernels.

`meta.inner_loop` is the definition; this gives the same numbers, to rounding, at a multiple of
its speed (see tests/benchmarks/README.md): no graph is built, Python starts whole passes in place
of operations, and shards of the rows are spread over the threads that are free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..kernels.head import (
    CLASS_MEANS,
    COSINE,
    ZERO,
    Head,
    HeadSettings,
    logits,
    loss_and_gradients,
    step,
)
from ..kernels.jit import Floats
from ..meta import head
from ..meta.episode import Support
from ..meta.head import HeadStart
from ..meta.inner_loop import Initialization, first_adapted
from ..meta.network import Network
from ..meta.params import Params, array_of
from ..meta.views import sampling_grid
from ..networks.conv4 import Conv4
from .conv4_blocks import (
    AdaptedBlocks,
    FirstBlock,
    Forward,
    Views,
    channels_innermost,
    frozen_forward,
    sizes_of,
)
from .conv4_passes import Passes
from .executor import FROZEN_BYTES, PREDICTED_TOGETHER, Outcome
from .helper_pool import HelperPool, shards_of

FLOPS_WORTH_SHARING = 5e7
"""Forward operations of a shard below which handing it to another thread costs more than it
gives."""
STARTS: dict[HeadStart, int] = {
    "zero": ZERO,
    "class_means": CLASS_MEANS,
    "cosine": COSINE,
}


class Conv4Executor:
    """The executor of one such initialization."""

    name = "conv4"
    max_adapt_batch = 1
    max_predict_batch = PREDICTED_TOGETHER
    max_frozen_bytes = FROZEN_BYTES

    def __init__(self, network: Conv4, initialization: Initialization, helpers: HelperPool) -> None:
        self._network, self._initialization, self._helpers = network, initialization, helpers
        self._first = first_adapted(network, initialization)
        convolutions = network.convolutions()
        self._flops = [
            2.0 * 9 * convolution.inputs * convolution.outputs * (network.image_size >> block) ** 2
            for block, convolution in enumerate(convolutions)
        ]
        params, sizes = initialization.params, initialization.step_sizes
        # On one channel, views and a frozen first block are one kernel.
        fused = self._first > 0 and network.image_channels == 1
        behind = convolutions[int(fused) : self._first]
        self._frozen = [frozen_forward(each, params) for each in behind]
        # Views are all of the initialization's, or none where queries are not seen in them.
        image = torch.zeros(1, *network.input_shape)
        grids = {
            len(views): sampling_grid(views, image)
            for views in (initialization.views, initialization.query_views())
        }
        self._seen: dict[int, Views | FirstBlock] = {
            n_views: FirstBlock(grid, convolutions[0], params) if fused else Views(grid)
            for n_views, grid in grids.items()
        }
        steps, adapted = initialization.inner_loop.steps, convolutions[self._first :]
        side = network.image_size >> self._first
        self._blocks = AdaptedBlocks(adapted, side, params, sizes, steps) if adapted else None
        self._head_sizes = np.concatenate(
            [sizes_of(sizes.get(name), steps, 1) for name in (head.WEIGHT, head.BIAS)], 1
        )
        self._head_start = STARTS[initialization.inner_loop.head_start]
        self._scale = np.float32(params[head.SCALE])

    @staticmethod
    def serves(network: Network, initialization: Initialization) -> bool:
        """Tell whether this executor can stand for the definition."""
        return (
            isinstance(network, Conv4)
            and network.norm == "stored"
            and initialization.inner_loop.damping is None
            and initialization.inner_loop.head_start in STARTS
            and head.SCALE not in initialization.step_sizes
            and not network.fixed() & initialization.step_sizes.keys()
        )

    def warm_up(self) -> None:
        """See `Executor`: have every kernel compiled, those for few and for many rows."""
        images = torch.zeros(2, *self._network.input_shape)
        frozen = self.frozen_features(images, self._initialization.views)
        support = Support(frozen, torch.tensor([0, 1]), 2)
        n_rows = frozen.shape[0] * frozen.shape[1]
        for bounds in ([slice(0, n_rows)], [slice(0, 1), slice(1, n_rows)]):
            outcome = self._adapt(support, 1, bounds)
        queries = self.frozen_features(images, self._initialization.query_views())
        for many in (1, 2 * PREDICTED_TOGETHER):
            self.logits([outcome.adapted], [queries[:1].repeat_interleave(many, 0)])

    def frozen_features(self, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See `Executor`."""
        flops = (1 + len(views)) * sum(self._flops[: self._first])

        def forward(shard: torch.Tensor) -> torch.Tensor:
            maps = _through(self._frozen, self._seen[len(views)](shard))
            # Channels first for whoever reads them as images, in the memory as they are.
            frozen = torch.from_numpy(maps).permute(0, 3, 1, 2)
            if self._blocks is None:
                frozen = frozen.flatten(1)
            return frozen.reshape(len(shard), -1, *frozen.shape[1:])

        return self._by_shards(forward, images, self._bounds(len(images), flops))

    def bucket(self, n_images: int) -> int:
        """See `Executor`."""
        return n_images

    def adapt(self, frozen: Sequence[Support], steps: int) -> list[Outcome]:
        """See `Executor`."""
        flops = sum(self._flops[self._first :])
        return [
            self._adapt(
                support,
                steps,
                self._bounds(support.images.shape[0] * support.images.shape[1], flops),
            )
            for support in frozen
        ]

    def logits(
        self, adapted: Sequence[Params], frozen: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """See `Executor`."""
        return [self._logits(own, queries) for own, queries in zip(adapted, frozen, strict=True)]

    def _logits(self, adapted: Params, frozen: torch.Tensor) -> torch.Tensor:
        seen = frozen[:, : 1 + len(self._initialization.query_views())]
        weight, bias = array_of(adapted[head.WEIGHT]), array_of(adapted[head.BIAS])
        if self._blocks is None:
            return self._logits_over_views(array_of(seen.flatten(0, 1)), len(seen), weight, bias)
        rows = seen.shape[0] * seen.shape[1]
        forwards = self._blocks.forwards({**self._initialization.params, **adapted}, rows)

        def forward(queries: torch.Tensor) -> torch.Tensor:
            maps = _through(forwards, channels_innermost(queries.flatten(0, 1)))
            features = np.ascontiguousarray(maps.transpose(0, 3, 1, 2).reshape(len(maps), -1))
            return self._logits_over_views(features, len(queries), weight, bias)

        flops = seen.shape[1] * sum(self._flops[self._first :])
        return self._by_shards(forward, seen, self._bounds(len(seen), flops))

    def _adapt(self, support: Support, steps: int, bounds: Sequence[slice]) -> Outcome:
        n_images, n_seen = support.images.shape[:2]
        rows = support.images.flatten(0, 1)
        labels = np.repeat(support.labels.numpy(), n_seen)
        shares = (1 / np.bincount(labels, minlength=support.n_way))[labels].astype(np.float32)
        own = _head_at_zero(support.n_way, self._network.feature_size)
        losses = np.empty(steps + 1, np.float32)
        passes: Passes | None = None
        features = array_of(rows)
        if self._blocks is not None:
            passes = Passes(self._blocks, rows, bounds, self._helpers)
            features = np.empty((len(rows), own.weight.shape[1]), np.float32)
        settings = HeadSettings(labels, shares, self._head_start, self._scale, self._head_sizes)
        if passes is not None and passes.in_one_shard:
            passes.run(settings, own, features, losses)
        else:
            self._step_by_step(passes, settings, own, features, losses)
        adapted = {head.WEIGHT: torch.from_numpy(own.weight), head.BIAS: torch.from_numpy(own.bias)}
        if passes is not None:
            adapted |= passes.adapted()
        logits = self._logits_over_views(features, n_images, own.weight, own.bias)
        return Outcome(adapted, torch.from_numpy(losses), logits)

    def _step_by_step(
        self,
        passes: Passes | None,
        settings: HeadSettings,
        own: Head,
        features: Floats,
        losses: Floats,
    ) -> None:
        """The inner loop in shards, or of the head alone, whose features stay."""
        labels, shares, start, scale, sizes = settings
        d_features = np.empty_like(features)
        for number in range(len(losses)):
            if passes is not None:
                passes.forward(features)
            losses[number] = loss_and_gradients(
                features, labels, shares, start, scale, own, d_features
            )
            if number < len(losses) - 1:
                # Steps beyond the learned ones take the sizes of the last of these.
                learned = min(number, len(sizes) - 1)
                if passes is not None:
                    passes.backward(d_features)
                    passes.step(learned)
                step(sizes[learned], own)

    def _logits_over_views(
        self, features: Floats, n_images: int, weight: Floats, bias: Floats
    ) -> torch.Tensor:
        """`(image, n_way)` logits from the `(image * seen, feature)` features of images."""
        out = np.empty((n_images, len(bias)), np.float32)
        n_seen = 1 + len(self._initialization.query_views())
        logits(features, n_seen, weight, bias, self._scale, out)
        return torch.from_numpy(out)

    def _by_shards(
        self,
        run: Callable[[torch.Tensor], torch.Tensor],
        rows: torch.Tensor,
        bounds: Sequence[slice],
    ) -> torch.Tensor:
        """Run a function of rows on each shard, on any thread that is free."""
        if len(bounds) == 1:
            return run(rows)
        return torch.cat(self._helpers.map(lambda shard: run(rows[bounds[shard]]), len(bounds)))

    def _bounds(self, rows: int, flops: float) -> list[slice]:
        """Even shards of rows, each worth a thread; ``flops`` are those of a row."""
        worth = max(1, int(rows * flops / FLOPS_WORTH_SHARING))
        return shards_of(rows, min(self._helpers.free_threads(), worth))


def _head_at_zero(n_way: int, feature_size: int) -> Head:
    """A head that has not stepped from its start."""
    rows, bias = (n_way, feature_size), (n_way,)
    return Head(*(np.zeros(shape, np.float32) for shape in (rows, bias, rows, bias, rows, bias)))


def _through(blocks: Sequence[Forward], maps: Floats) -> Floats:
    for block in blocks:
        maps = block(maps)
    return maps
