"""One adaptation's passes through the adapted blocks of Conv4, by shards of its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..kernels import conv4, inner_loop
from ..kernels.head import Head, HeadSettings
from ..kernels.jit import Floats
from ..meta.params import Params
from .conv4_blocks import AdaptedBlocks, channels_innermost
from .helper_pool import HelperPool


class Passes:
    """Forward, backward and step. Shards meet where features are compared and gradients summed."""

    def __init__(
        self,
        blocks: AdaptedBlocks,
        rows: torch.Tensor,
        bounds: Sequence[slice],
        helpers: HelperPool,
    ) -> None:
        """``rows`` is `(row, inputs, side, side)`; ``bounds`` says which rows are a shard."""
        self._blocks, self._bounds, self._helpers = blocks, bounds, helpers
        self._weights = blocks.start()
        # Copies in channels last, where the rows are not so already.
        maps = channels_innermost(rows)
        lines = maps.reshape(*maps.shape[:2], -1)
        self._maps = [lines[bound] for bound in bounds]
        self._tapes = [blocks.tapes(len(shard)) for shard in self._maps]

    @property
    def in_one_shard(self) -> bool:
        """Whether one thread computes all rows."""
        return len(self._maps) == 1

    def run(
        self,
        settings: HeadSettings,
        classifier: Head,
        out_features: Floats,
        out_losses: Floats,
    ) -> None:
        """The whole inner loop, of rows in one shard: see `kernels.inner_loop`."""
        inner_loop.of_blocks(
            self._maps[0],
            self._blocks.constants,
            settings,
            self._weights,
            self._tapes[0],
            classifier,
            out_features,
            out_losses,
        )

    def forward(self, out_features: Floats) -> None:
        """Write the `(row, feature)` features."""

        def run(shard: int) -> None:
            features = out_features[self._bounds[shard]]
            conv4.forward(self._maps[shard], self._weights, self._tapes[shard], features)

        self._helpers.map(run, len(self._maps))

    def backward(self, d_features: Floats) -> None:
        """The gradients of all blocks, from that of the features."""

        def run(shard: int) -> None:
            gradient = d_features[self._bounds[shard]]
            conv4.backward(self._maps[shard], self._weights, gradient, self._tapes[shard])

        self._helpers.map(run, len(self._maps))

    def step(self, learned: int) -> None:
        """Move the blocks against their gradients, by the step sizes of a learned step."""

        def run(block: int) -> None:
            total, *others = (tapes[block] for tapes in self._tapes)
            for other in others:
                np.add(total.d_folded, other.d_folded, out=total.d_folded)
                np.add(total.d_shift, other.d_shift, out=total.d_shift)
            conv4.step(self._blocks.constants[block], total, learned, self._weights[block])

        self._helpers.map(run, len(self._weights))

    def adapted(self) -> Params:
        """The tensors that adapt, by their names."""
        return self._blocks.named(self._weights)
