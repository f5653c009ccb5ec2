"""The inner loop of Conv4 with stored statistics on a CPU, by kernels.

`meta.inner_loop` is the definition; this gives the same numbers, to rounding, at a multiple of
its speed (see tests/benchmarks/README.md): no graph is built, no operation is started from Python
but a whole pass or a whole loop, convolutions run by Winograd's algorithm with the norm folded in,
and images are divided into shards among free threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..kernels import conv4
from ..kernels import head as head_kernels
from ..kernels.conv4 import BlockTape, BlockWeights, Shard
from ..kernels.head import Head, Labels
from ..kernels.jit import Floats
from ..meta import head
from ..meta.episode import Support
from ..meta.inner_loop import Initialization, first_adapted
from ..meta.network import Network
from ..meta.params import Params, array_of
from ..meta.views import sampling_grid
from ..networks.conv4 import Conv4
from .adapted_blocks import AdaptedBlocks, step_sizes_of
from .executor import PREDICTED_TOGETHER, Outcome
from .frozen_blocks import FrozenBlock, first_step
from .helper_pool import HelperPool

FLOPS_WORTH_SHARING = 5e7
"""Forward operations of a shard below which handing it to another thread costs more than it
gives."""
FEW_ROWS = 16
"""Queries times views whose blocks are quicker without transforming a session's weights."""
STARTS: dict[head.HeadStart, int] = {
    "zero": head_kernels.ZERO,
    "class_means": head_kernels.CLASS_MEANS,
    "cosine": head_kernels.COSINE,
}


class Conv4Executor:
    """The executor of one such initialization."""

    name = "conv4"
    max_adapt_batch = 1
    max_predict_batch = PREDICTED_TOGETHER

    def __init__(self, network: Conv4, initialization: Initialization, helpers: HelperPool) -> None:
        self._network, self._initialization, self._helpers = network, initialization, helpers
        self._first = first_adapted(network, initialization)
        convolutions = network.convolutions()
        self._flops = [
            2.0 * 9 * each.inputs * each.outputs * (network.image_size >> block) ** 2
            for block, each in enumerate(convolutions)
        ]
        params, sizes = initialization.params, initialization.step_sizes
        folded = [each.folded(params) for each in convolutions[: self._first]]
        self._behind_first = [FrozenBlock(*each) for each in folded[1:]]
        # Views are all of the initialization's, or none where queries are not seen in them.
        image = torch.zeros(1, *network.input_shape)
        self._first_step = {
            len(views): first_step(sampling_grid(views, image), folded[0] if folded else None)
            for views in (initialization.views, initialization.query_views())
        }
        steps, adapted = initialization.inner_loop.steps, convolutions[self._first :]
        side = network.image_size >> self._first
        self._blocks = AdaptedBlocks(adapted, side, params, sizes, steps) if adapted else None
        self._start = STARTS[initialization.inner_loop.head_start]
        self._scale = np.float32(params[head.SCALE])
        names = (head.WEIGHT, head.BIAS)
        self._head_sizes = np.concatenate(
            [step_sizes_of(sizes.get(name), steps, 1) for name in names], 1
        )

    @staticmethod
    def serves(network: Network, initialization: Initialization) -> bool:
        """Tell whether this executor can stand for the definition."""
        return (
            isinstance(network, Conv4)
            and network.norm == "stored"
            and head.SCALE not in initialization.step_sizes
            and not network.fixed() & initialization.step_sizes.keys()
        )

    def warm_up(self) -> None:
        """See `Executor`."""
        images = torch.zeros(2, *self._network.input_shape)
        frozen = self.frozen_features(images, self._initialization.views)
        support = Support(frozen, torch.tensor([0, 1]), 2)
        everything = [slice(0, frozen.shape[0] * frozen.shape[1])]
        outcome = self._adapt(support, 1, everything)
        if self._blocks is not None:
            self._adapt(support, 1, [*everything, *everything])
        queries = self.frozen_features(images, self._initialization.query_views())
        for n_queries in (1, FEW_ROWS + 1):
            self._logits(outcome.adapted, queries[:1].repeat_interleave(n_queries, 0))

    def frozen_features(self, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See `Executor`."""
        flops = (1 + len(views)) * sum(self._flops[: self._first])

        def freeze(part: torch.Tensor) -> torch.Tensor:
            hidden = self._first_step[len(views)](part)
            for block in self._behind_first:
                hidden = block(hidden)
            if self._blocks is None:
                hidden = hidden.flatten(1)
            return hidden.reshape(len(part), -1, *hidden.shape[1:])

        return self._in_shards(freeze, images, self._bounds(len(images), flops))

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
        views = frozen[:, : 1 + len(self._initialization.query_views())]
        rows = [array_of(adapted[name]) for name in (head.WEIGHT, head.BIAS)]
        blocks = self._blocks
        if blocks is None:
            return self._over_views(array_of(views.flatten(0, 1)), len(views), *rows)
        params = {**self._initialization.params, **adapted}
        few = views.shape[0] * views.shape[1] <= FEW_ROWS
        features_of = blocks.features_of_few if few else blocks.features

        def classify(queries: torch.Tensor) -> torch.Tensor:
            features = features_of(params, queries.flatten(0, 1))
            return self._over_views(features, len(queries), *rows)

        flops = views.shape[1] * sum(self._flops[self._first :])
        return self._in_shards(classify, views, self._bounds(len(views), flops))

    def _adapt(self, frozen: Support, steps: int, bounds: Sequence[slice]) -> Outcome:
        n_images, n_views = frozen.images.shape[:2]
        rows, size = frozen.images.flatten(0, 1), self._network.feature_size
        labels, classifier = _labels(frozen, n_views), self._head(frozen.n_way, size)
        losses = np.empty(steps + 1, np.float32)
        adapted: dict[str, torch.Tensor] = {}
        if self._blocks is None:
            features = array_of(rows)
            conv4.inner_loop_of_head(labels, classifier, features, losses)
        else:
            features = np.empty((len(rows), size), np.float32)
            blocks = self._blocks.start()
            shards = [self._blocks.shard(rows[bound]) for bound in bounds]
            if len(shards) == 1:
                conv4.inner_loop(
                    blocks, self._blocks.settings, shards[0], labels, classifier, features, losses
                )
            else:
                self._inner_loop_in_shards(
                    blocks, list(zip(shards, bounds, strict=True)), labels, classifier, features,
                    losses,
                )  # fmt: skip
            adapted |= self._blocks.named(blocks)
        adapted[head.WEIGHT] = torch.from_numpy(classifier.weight)
        adapted[head.BIAS] = torch.from_numpy(classifier.bias)
        logits = self._over_views(features, n_images, classifier.weight, classifier.bias)
        return Outcome(adapted, torch.from_numpy(losses), logits)

    def _head(self, n_way: int, size: int) -> Head:
        """A head that has not stepped yet."""
        weight, bias = np.zeros((3, n_way, size), np.float32), np.zeros((3, n_way), np.float32)
        return Head(
            *(weight[0], bias[0], weight[1], bias[1], weight[2], bias[2]),
            start=self._start,
            scale=self._scale,
            step_sizes=self._head_sizes,
        )

    def _over_views(
        self, features: Floats, n_images: int, weight: Floats, bias: Floats
    ) -> torch.Tensor:
        """`(image, n_way)` logits of images, from the features of all their views."""
        logits = np.empty((n_images, len(bias)), np.float32)
        n_views = 1 + len(self._initialization.query_views())
        head_kernels.logits_over_views(features, n_views, weight, bias, self._scale, logits)
        return torch.from_numpy(logits)

    def _inner_loop_in_shards(
        self,
        blocks: tuple[BlockWeights, ...],
        shards: Sequence[tuple[Shard, slice]],
        labels: Labels,
        classifier: Head,
        features: Floats,
        losses: Floats,
    ) -> None:
        """`conv4.inner_loop` with its passes in shards, each of which any free thread may take."""
        d_features = np.empty_like(features)
        settings = self._blocks.settings if self._blocks else ()

        def forward(index: int) -> None:
            shard, bound = shards[index]
            conv4.forward(blocks, shard, features[bound])

        def backward(index: int) -> None:
            shard, bound = shards[index]
            conv4.backward(blocks, shard, d_features[bound])

        def step(block: int) -> None:
            tape = _summed([shard.tapes[block] for shard, _ in shards])
            conv4.step(blocks[block], settings[block], tape, learned)

        last = len(losses) - 1
        for number in range(last + 1):
            self._helpers.map(forward, len(shards))
            losses[number] = head_kernels.loss_and_gradients(
                features, labels, classifier, d_features
            )
            if number < last:
                learned = min(number, len(classifier.step_sizes) - 1)
                self._helpers.map(backward, len(shards))
                self._helpers.map(step, len(blocks))
                head_kernels.step(classifier, learned)

    def _in_shards(
        self,
        run: Callable[[torch.Tensor], torch.Tensor],
        rows: torch.Tensor,
        bounds: Sequence[slice],
    ) -> torch.Tensor:
        """Run something row by row, in shards that any free thread may take."""
        if len(bounds) == 1:
            return run(rows)
        return torch.cat(self._helpers.map(lambda shard: run(rows[bounds[shard]]), len(bounds)))

    def _bounds(self, rows: int, flops: float) -> list[slice]:
        """Even shards of rows, each worth a thread."""
        worth = max(1, int(rows * flops / FLOPS_WORTH_SHARING))
        shards = min(self._helpers.hands(), worth, rows)
        edges = [rows * shard // shards for shard in range(shards + 1)]
        return [slice(*pair) for pair in itertools.pairwise(edges)]


def _labels(frozen: Support, n_views: int) -> Labels:
    """The classes of all views of a support set, whose loss weighs classes equally."""
    classes = np.repeat(frozen.labels.numpy(), n_views)
    counts = np.bincount(classes, minlength=frozen.n_way)
    in_mean = (1 / counts)[classes].astype(np.float32)
    return Labels(classes, in_mean, in_mean / np.float32(frozen.n_way))


def _summed(tapes: Sequence[BlockTape]) -> BlockTape:
    """The first tape, with the sum of all their gradients by what the block folds into."""
    for tape in tapes[1:]:
        np.add(tapes[0].d_folded, tape.d_folded, out=tapes[0].d_folded)
        np.add(tapes[0].d_shift, tape.d_shift, out=tapes[0].d_shift)
    return tapes[0]
