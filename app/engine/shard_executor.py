"""The inner loop of any network on a CPU, with the rows of its images in shards among free threads.

A row's features depend on that row alone, so shards meet in the features only: there the head's
loss, its gradient by them and the step are those of `meta.inner_loop`. Each shard goes through the
network forward and backward in one thread, by plain autograd. Beside the definition, which
differentiates by `torch.func` and so makes the gradient differentiable once more, an adaptation of
a ResNet-12 takes half the time or less on two threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..meta.episode import Support
from ..meta.head import SCALE
from ..meta.inner_loop import (
    HEAD,
    Initialization,
    first_adapted,
    logits_over_views,
    loss_of_features,
    preconditioned,
    seen_in_queries,
    start_of_adapted,
    step_size,
)
from ..meta.network import Network
from ..meta.params import Params
from .executor import EagerExecutor, Outcome
from .helper_pool import HelperPool, shards_of

Forward = tuple[torch.Tensor, Params]
"""`(row, feature)` features with the graph behind them, and the leaves that it begins at."""


class ShardExecutor:
    """The executor of one initialization."""

    name = "shards"

    def __init__(
        self, network: Network, initialization: Initialization, helpers: HelperPool
    ) -> None:
        self._network, self._initialization, self._helpers = network, initialization, helpers
        self._eager = EagerExecutor(network, initialization)
        self.max_adapt_batch = self._eager.max_adapt_batch
        self.max_predict_batch = self._eager.max_predict_batch
        self.max_frozen_bytes = self._eager.max_frozen_bytes
        self._first, self._stop = first_adapted(network, initialization), len(network.parts)

    def warm_up(self) -> None:
        """See `Executor`: there is nothing."""

    def bucket(self, n_images: int) -> int:
        """See `Executor`."""
        return n_images

    def frozen_features(self, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See `Executor`."""
        return self._in_shards(
            lambda bound: self._eager.frozen_features(images[bound], views), len(images)
        )

    def adapt(self, frozen: Sequence[Support], steps: int) -> list[Outcome]:
        """See `Executor`."""
        return [self._adapt(support, steps) for support in frozen]

    def logits(
        self, adapted: Sequence[Params], frozen: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """See `Executor`."""
        return [self._logits(own, queries) for own, queries in zip(adapted, frozen, strict=True)]

    def _logits(self, adapted: Params, queries: torch.Tensor) -> torch.Tensor:
        return self._in_shards(
            lambda bound: self._eager.logits([adapted], [queries[bound]])[0], len(queries)
        )

    def _adapt(self, frozen: Support, steps: int) -> Outcome:
        n_images, n_views = frozen.images.shape[:2]
        rows = Support(
            frozen.images.flatten(0, 1), frozen.labels.repeat_interleave(n_views), frozen.n_way
        )
        adapted = {
            name: tensor.clone()
            for name, tensor in start_of_adapted(
                self._network, self._initialization, frozen.n_way
            ).items()
        }
        bounds, losses = self._bounds(len(rows.images)), []
        for number in range(steps + 1):
            shards = self._forward_all(adapted, [rows.images[bound] for bound in bounds])
            features = torch.cat([shard.detach() for shard, _ in shards])
            loss, head_rows, gradients, d_features = self._head_loss(adapted, features, rows)
            losses.append(loss)
            if number < steps:
                parts = self._backward_all(shards, [d_features[bound] for bound in bounds])
                sizes = {
                    name: step_size(self._initialization, name, number, frozen.n_way)
                    for name in adapted
                }
                self._step(adapted, [gradients, *parts], sizes)
        own_tensors = {name: tensor for name, tensor in adapted.items() if name not in HEAD}
        fast_weights = {**self._initialization.params, **own_tensors, **head_rows}
        viewed = features.reshape(n_images, n_views, -1)
        seen = seen_in_queries(self._initialization.inner_loop, viewed)
        return Outcome(
            {**own_tensors, **head_rows}, torch.stack(losses), logits_over_views(fast_weights, seen)
        )

    def _forward_all(self, adapted: Params, images: Sequence[torch.Tensor]) -> list[Forward]:
        return self._helpers.map(lambda k: self._forward(adapted, images[k]), len(images))

    def _backward_all(
        self, shards: Sequence[Forward], d_features: Sequence[torch.Tensor]
    ) -> list[Params]:
        """The gradients that each shard has a part in."""
        return self._helpers.map(lambda k: _backward(*shards[k], d_features[k]), len(shards))

    def _step(self, adapted: Params, parts: Sequence[Params], sizes: Params) -> None:
        """Move what adapts along the sum of the gradients' parts, in place, by free threads."""
        names = sorted(adapted, key=lambda name: adapted[name].numel())

        def step(thread: int) -> None:
            for name in names[thread::threads]:
                for part in parts:
                    if name in part:
                        adapted[name].addcmul_(part[name], sizes[name], value=-1)

        threads = self._helpers.free_threads()
        self._helpers.map(step, threads)

    def _forward(self, adapted: Params, images: torch.Tensor) -> Forward:
        """`(row, feature)` with their graph, and the leaves that it begins at."""
        with torch.enable_grad():
            leaves = {
                name: tensor.detach().requires_grad_()
                for name, tensor in adapted.items()
                if name not in HEAD | {SCALE}
            }
            params = {**self._initialization.params, **leaves}
            return self._network.through(params, images, self._first, self._stop), leaves

    def _head_loss(
        self, adapted: Params, features: torch.Tensor, rows: Support
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], Params, torch.Tensor]:
        """The loss, the head's rows, and the gradients by what adapts of the head and features."""
        with torch.enable_grad():
            leaf = features.detach().requires_grad_()
            own = {
                name: tensor.detach().requires_grad_()
                for name, tensor in adapted.items()
                if name in HEAD | {SCALE}
            }
            loss, head_rows = loss_of_features(self._initialization, own, leaf, rows)
            d_features, *gradients = torch.autograd.grad(loss, [leaf, *own.values()])
        told = {name: tensor.detach() for name, tensor in head_rows.items()}
        steps = preconditioned(
            self._initialization,
            dict(zip(own, gradients, strict=True)),
            {**own, **told},
            features,
            rows,
        )
        return loss.detach(), told, steps, d_features

    def _in_shards(self, run: Callable[[slice], torch.Tensor], rows: int) -> torch.Tensor:
        bounds = self._bounds(rows)
        if len(bounds) == 1:
            return run(bounds[0])
        return torch.cat(self._helpers.map(lambda k: run(bounds[k]), len(bounds)))

    def _bounds(self, rows: int) -> list[slice]:
        """Even shards of rows, one for each free thread."""
        return shards_of(rows, self._helpers.free_threads())


def _backward(features: torch.Tensor, leaves: Params, d_features: torch.Tensor) -> Params:
    """The gradients of a shard by its leaves; none where the network does not adapt."""
    if not leaves:
        return {}
    gradients = torch.autograd.grad(features, list(leaves.values()), d_features)
    return dict(zip(leaves, gradients, strict=True))
