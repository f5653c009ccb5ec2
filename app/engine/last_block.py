"""The last block of Conv4 and the head over a few queries, as machine code.

Each session brings weights of its own, which makes them small matrices that no other call shares.
Here the norm scales the few maps instead of the many weights, and nothing is laid out anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..kernels.jit import Floats, compiled
from ..meta import head
from ..meta.inner_loop import Initialization
from ..meta.params import Params, array_of
from ..networks.convolution import EPSILON, NormalisedConvolution
from .head_loops import scores
from .winograd import rectified

MOST_ROWS = 64
"""Queries times views up to which this was measured faster than a product of matrices."""


class LastBlock:
    """The last block where it alone adapts, with the head, for any session."""

    def __init__(self, convolution: NormalisedConvolution, initialization: Initialization) -> None:
        self._convolution, self._params = convolution, initialization.params
        self._n_seen = 1 + len(initialization.query_views())
        name = convolution.name
        deviation = torch.sqrt(self._params[f"{name}.variance"] + EPSILON)
        self._statistics = _arrays((self._params[f"{name}.mean"], deviation))
        self._scale = np.float32(self._params[head.SCALE])

    @staticmethod
    def serves(convolution: NormalisedConvolution) -> bool:
        """Tell whether its outputs come in pairs, as they are computed."""
        return convolution.outputs % 2 == 0

    def takes(self, frozen: torch.Tensor) -> bool:
        """Tell whether so many queries are best given to `logits`."""
        return len(frozen) * self._n_seen <= MOST_ROWS

    def logits(self, adapted: Params, frozen: torch.Tensor) -> torch.Tensor:
        """`(query, n_way)` logits of `(query, view, inputs, height, width)` queries at rest.

        ``adapted`` are a session's tensors by their names.
        """
        own = {**self._params, **adapted}
        name = self._convolution.name
        weight = own[f"{name}.weight"].permute(0, 2, 3, 1).reshape(self._convolution.outputs, -1)
        block = (weight, own[f"{name}.gain"], own[f"{name}.bias"])
        rows = (own[head.WEIGHT], own[head.BIAS])
        queries = frozen[:, : self._n_seen].permute(0, 1, 3, 4, 2)
        found = np.empty((len(frozen), len(own[head.BIAS])), np.float32)
        _run(array_of(queries), _arrays(block), self._statistics, _arrays(rows), self._scale, found)
        return torch.from_numpy(found)


def _arrays(tensors: Sequence[torch.Tensor]) -> tuple[Floats, ...]:
    return tuple(array_of(tensor) for tensor in tensors)


@compiled
def _run(
    queries: Floats,
    block: tuple[Floats, ...],
    statistics: tuple[Floats, ...],
    rows: tuple[Floats, ...],
    head_scale: np.float32,
    out: Floats,
) -> None:
    n_queries, n_seen, height, width, inputs = queries.shape
    weight, gain, bias = block
    mean, deviation = statistics
    head_weight, head_bias = rows
    outputs, down, across = len(gain), height // 2, width // 2
    scale, shift = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    for output in range(outputs):
        scale[output] = gain[output] / deviation[output]
        shift[output] = bias[output] - mean[output] * scale[output]
    padded = np.zeros((height + 2, (width + 2) * inputs), np.float32)
    features = np.empty((n_seen, outputs * down * across), np.float32)
    for query in range(n_queries):
        for view in range(n_seen):
            for y in range(height):
                for x in range(width):
                    for channel in range(inputs):
                        seen = queries[query, view, y, x, channel]
                        padded[y + 1, (x + 1) * inputs + channel] = seen
            _block(padded, weight, scale, shift, down, across, features[view])
        scores(features, n_seen, head_weight, head_bias, head_scale, out[query : query + 1])


@compiled
def _block(
    padded: Floats,
    weight: Floats,
    scale: Floats,
    shift: Floats,
    down: int,
    across: int,
    features: Floats,
) -> None:
    """Convolve, normalise, pool and rectify one padded map, in which channels lie innermost.

    Two outputs at the four places of a pooling square share what they load.
    """
    inputs = weight.shape[1] // 9
    run = 3 * inputs
    for output in range(0, len(scale), 2):
        for y in range(down):
            for x in range(across):
                left, right = 2 * x * inputs, (2 * x + 1) * inputs
                a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                e, f, g, h = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                for i in range(3):
                    one = weight[output, i * run : (i + 1) * run]
                    other = weight[output + 1, i * run : (i + 1) * run]
                    upper, lower = padded[2 * y + i], padded[2 * y + i + 1]
                    above_left, above_right = upper[left : left + run], upper[right : right + run]
                    below_left, below_right = lower[left : left + run], lower[right : right + run]
                    for k in range(run):
                        a += one[k] * above_left[k]
                        b += one[k] * above_right[k]
                        c += one[k] * below_left[k]
                        d += one[k] * below_right[k]
                        e += other[k] * above_left[k]
                        f += other[k] * above_right[k]
                        g += other[k] * below_left[k]
                        h += other[k] * below_right[k]
                features[(output * down + y) * across + x] = _kept(
                    a, b, c, d, scale[output], shift[output]
                )
                features[((output + 1) * down + y) * across + x] = _kept(
                    e, f, g, h, scale[output + 1], shift[output + 1]
                )


@compiled
def _kept(
    a: np.float32, b: np.float32, c: np.float32, d: np.float32, scale: np.float32, shift: np.float32
) -> np.float32:
    """What normalisation, pooling and ReLU leave of a pooling square."""
    highest = max(a * scale, b * scale, c * scale, d * scale) + shift
    # What is beyond numbers stays so: no comparison may hide it.
    highest += np.float32(0) * (a + b + c + d)
    return rectified(highest)
