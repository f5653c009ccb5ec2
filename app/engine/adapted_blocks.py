"""The blocks of Conv4 that adapt: from named tensors to what `kernels.conv4` works on, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..kernels import conv4, direct_conv, query_blocks, winograd
from ..kernels.conv4 import BlockSettings, BlockTape, BlockWeights, Shard
from ..kernels.jit import Floats
from ..meta.params import Params, array_of
from ..networks.convolution import EPSILON, NormalisedConvolution

KINDS = ("weight", "gain", "bias")


class AdaptedBlocks:
    """The blocks from the first one that adapts on, of one initialization."""

    def __init__(
        self,
        convolutions: Sequence[NormalisedConvolution],
        side: int,
        params: Params,
        step_sizes: Params,
        steps: int,
    ) -> None:
        """``side`` is that of the maps which the first of ``convolutions`` takes."""
        self._convolutions, self._side, self._step_sizes = convolutions, side, step_sizes
        self.settings = tuple(
            BlockSettings(
                array_of(params[f"{each.name}.mean"]),
                array_of(torch.sqrt(params[f"{each.name}.variance"] + EPSILON)),
                step_sizes_of(step_sizes.get(f"{each.name}.weight"), steps, 1),
                step_sizes_of(step_sizes.get(f"{each.name}.gain"), steps, each.outputs),
                step_sizes_of(step_sizes.get(f"{each.name}.bias"), steps, each.outputs),
            )
            for each in convolutions
        )
        self._start = self.weights_of(params)

    def start(self) -> tuple[BlockWeights, ...]:
        """Where an inner loop starts: copies, which it steps."""
        return tuple(BlockWeights(*(array.copy() for array in block)) for block in self._start)

    def weights_of(self, params: Params) -> tuple[BlockWeights, ...]:
        """The blocks with these tensors, by their names."""
        blocks = []
        for convolution, settings in zip(self._convolutions, self.settings, strict=True):
            weight, gain, bias = (params[f"{convolution.name}.{kind}"] for kind in KINDS)
            inputs, outputs = convolution.inputs, convolution.outputs
            block = BlockWeights(
                array_of(weight.permute(2, 3, 1, 0).reshape(9, inputs, outputs)),
                array_of(gain),
                array_of(bias),
                np.empty((self._planes(convolution), inputs, outputs), np.float32),
                np.empty(outputs, np.float32),
            )
            conv4.fold(block, settings)
            blocks.append(block)
        return tuple(blocks)

    def named(self, blocks: Sequence[BlockWeights]) -> Params:
        """The tensors that adapt, by their names."""
        tensors: dict[str, torch.Tensor] = {}
        for convolution, block in zip(self._convolutions, blocks, strict=True):
            weight = torch.from_numpy(block.weight)
            square = weight.view(3, 3, convolution.inputs, convolution.outputs)
            own = (square.permute(3, 2, 0, 1), *map(torch.from_numpy, block[1:3]))
            for kind, tensor in zip(KINDS, own, strict=True):
                tensors[f"{convolution.name}.{kind}"] = tensor
        return {name: tensor for name, tensor in tensors.items() if name in self._step_sizes}

    def shard(self, rows: torch.Tensor) -> Shard:
        """Room for `(row, input, side, side)` of what the first block takes."""
        images = rows.permute(0, 2, 3, 1).contiguous().flatten(2).numpy()
        tapes, side = [], self._side
        for convolution in self._convolutions:
            side //= 2
            inputs, outputs = convolution.inputs, convolution.outputs
            maps, folded = (len(images), side, side, outputs), self._planes(convolution)
            tapes.append(
                BlockTape(
                    np.empty(maps, np.float32),
                    np.empty((len(images) * side * side, outputs), np.int32),
                    np.empty(maps, np.float32),
                    np.empty((folded, inputs, outputs), np.float32),
                    np.empty(outputs, np.float32),
                )
            )
        return Shard(images, tuple(tapes))

    def features(self, params: Params, rows: torch.Tensor) -> Floats:
        """`(row, feature)` of `(row, input, side, side)`, by a session's tensors."""
        shard = self.shard(rows)
        last = shard.tapes[-1].pooled
        features = np.empty((len(last), last[0].size), np.float32)
        conv4.forward(self.weights_of(params), shard, features)
        return features

    def features_of_few(self, params: Params, rows: torch.Tensor) -> Floats:
        """`features` without transforming weights, which pays for few rows."""
        hidden = array_of(rows.permute(0, 2, 3, 1))
        for convolution, settings in zip(self._convolutions, self.settings, strict=True):
            weight, gain, bias = (params[f"{convolution.name}.{kind}"] for kind in KINDS)
            scale = array_of(gain) / settings.deviation
            n_rows, height, width, _ = hidden.shape
            pooled = np.empty((n_rows, height // 2, width // 2, len(scale)), np.float32)
            # Channels last, as sessions are kept, this costs nothing.
            taps = array_of(weight.permute(0, 2, 3, 1).flatten(1))
            shift = array_of(bias) - settings.mean * scale
            query_blocks.forward(hidden, taps, scale, shift, pooled)
            hidden = pooled
        return np.ascontiguousarray(hidden.transpose(0, 3, 1, 2)).reshape(len(hidden), -1)

    def _planes(self, convolution: NormalisedConvolution) -> int:
        """The numbers of a folded weight between an input and an output.

        `direct_conv` is for a first block, whose images nobody asks a gradient by.
        """
        few = convolution.inputs <= direct_conv.MOST_INPUTS
        first = convolution is self._convolutions[0]
        return direct_conv.TAPS if few and first else winograd.PLANES


def step_sizes_of(learned: torch.Tensor | None, steps: int, numbers: int) -> Floats:
    """`(steps, numbers)` step sizes: one for each number of a tensor, in its layout, or for all."""
    if learned is None:
        return np.zeros((steps, numbers), np.float32)
    if learned.dim() > 2:
        return array_of(learned.permute(0, 3, 4, 2, 1).flatten(1))
    return array_of(learned.reshape(steps, -1).expand(steps, max(numbers, learned[0].numel())))
