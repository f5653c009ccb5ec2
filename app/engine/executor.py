"""What an engine asks of whatever computes, and the executor that is the definition itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from ..meta.episode import Support
from ..meta.inner_loop import (
    HEAD,
    Initialization,
    frozen_features,
    logits_from_frozen,
    trajectory_from_frozen,
)
from ..meta.network import Network
from ..meta.params import Params

FROZEN_BYTES = 1 << 19
"""Network input that goes through the frozen parts at once: what they make of it stays in the
caches."""
PREDICTED_TOGETHER = 32
"""Sessions whose queries go through the frozen parts in one pass on a CPU."""


@dataclass(frozen=True)
class Outcome:
    """What an inner loop came to.

    ``adapted`` holds the tensors that differ from the initialization's, the head among them;
    ``losses`` `(steps + 1,)` the support loss before each step and after the last, in nats;
    ``scores`` the `(support, n_way)` logits of the support images.
    """

    adapted: Params
    losses: torch.Tensor
    scores: torch.Tensor


class Executor(Protocol):
    """One initialization on one device."""

    @property
    def name(self) -> str:
        """What answers and metrics call it."""
        ...

    @property
    def max_adapt_batch(self) -> int:
        """How many support sets of one bucket `adapt` gains from being given at once."""
        ...

    @property
    def max_predict_batch(self) -> int:
        """How many sessions `logits` gains from being given at once."""
        ...

    @property
    def max_frozen_bytes(self) -> int | None:
        """Bytes of images that `frozen_features` gains from being given at once; None for all."""
        ...

    def warm_up(self) -> None:
        """Make what is made once, so that no call has to wait for it."""
        ...

    def bucket(self, n_images: int) -> int:
        """Support sets, or queries, of equal ways and buckets may be given together."""
        ...

    def frozen_features(self, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """`inner_loop.frozen_features`."""
        ...

    def adapt(self, frozen: Sequence[Support], steps: int) -> list[Outcome]:
        """Run the inner loop on what `frozen_features` made of each support set's images."""
        ...

    def logits(
        self, adapted: Sequence[Params], frozen: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """`(query, n_way)` logits of the queries' frozen features, for each session."""
        ...


class EagerExecutor:
    """The functions of `meta` as they stand: what every other executor has to agree with."""

    name = "eager"
    max_adapt_batch = 1
    max_predict_batch = PREDICTED_TOGETHER
    max_frozen_bytes = FROZEN_BYTES

    def __init__(self, network: Network, initialization: Initialization) -> None:
        self._network, self._initialization = network, initialization

    def warm_up(self) -> None:
        """See `Executor`: there is nothing."""

    def bucket(self, n_images: int) -> int:
        """See `Executor`."""
        return n_images

    def frozen_features(self, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See `Executor`."""
        return frozen_features(self._network, self._initialization, images, views)

    def adapt(self, frozen: Sequence[Support], steps: int) -> list[Outcome]:
        """See `Executor`."""
        return [Outcome(*self.run(support, steps)) for support in frozen]

    def logits(
        self, adapted: Sequence[Params], frozen: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """See `Executor`."""
        return [
            logits_from_frozen(
                self._network, self._initialization, {**self._initialization.params, **own}, queries
            )
            for own, queries in zip(adapted, frozen, strict=True)
        ]

    def run(self, frozen: Support, steps: int) -> tuple[Params, torch.Tensor, torch.Tensor]:
        """The parts of the `Outcome` of one support set."""
        states = list(
            trajectory_from_frozen(self._network, self._initialization, frozen, steps=steps)
        )
        last = states[-1].fast_weights
        adapted = self._initialization.step_sizes.keys() | HEAD
        return (
            {name: tensor for name, tensor in last.items() if name in adapted},
            torch.stack([state.loss for state in states]),
            logits_from_frozen(self._network, self._initialization, last, frozen.images),
        )
