"""Networks whose head alone adapts, in units of curvature, on a CPU: photographs.

Nearly all the time goes into the trunk, which `CompiledTrunk` computes; all threads that are free
take part in one call, an image or a view at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..meta import head
from ..meta.episode import Support
from ..meta.inner_loop import HEAD, Initialization, logits_over_views, rounded, seen_in_queries
from ..meta.network import Network
from ..meta.params import Params
from ..meta.views import sampling_grid, with_views_at
from .compiled_trunk import CompiledTrunk
from .executor import PREDICTED_TOGETHER, Outcome
from .head_loop import adapt_head
from .helper_pool import HelperPool


class TrunkExecutor:
    """The executor of one such initialization."""

    name = "trunk"
    max_adapt_batch = 1
    max_predict_batch = PREDICTED_TOGETHER
    max_frozen_bytes = None

    def __init__(
        self, network: Network, initialization: Initialization, helpers: HelperPool
    ) -> None:
        self._initialization, self._helpers = initialization, helpers
        self._trunk = CompiledTrunk(network, initialization.params, len(network.parts))

    @staticmethod
    def serves(network: Network, initialization: Initialization) -> bool:
        """Tell whether this executor can stand for the definition."""
        return (
            bool(network.parts)
            and initialization.inner_loop.damping is not None
            and initialization.step_sizes.keys() == HEAD
        )

    def warm_up(self) -> None:
        """See `Executor`: there is nothing."""

    def bucket(self, n_images: int) -> int:
        """See `Executor`."""
        return n_images

    def frozen_features(self, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See `Executor`."""
        grid, n_seen = sampling_grid(views, images[:1]), 1 + len(views)

        def seen(row: int) -> torch.Tensor:
            place, view = divmod(row, n_seen)
            image = images[place : place + 1]
            return image if not view else with_views_at(image, grid[view - 1 : view])[:, 1]

        rows = self._helpers.map(lambda row: self._trunk(seen(row)), len(images) * n_seen)
        frozen = rounded(self._initialization.inner_loop, torch.cat(rows))
        return frozen.reshape(len(images), n_seen, *frozen.shape[1:])

    def adapt(self, frozen: Sequence[Support], steps: int) -> list[Outcome]:
        """See `Executor`."""
        return [adapt_head(self._initialization, support, steps) for support in frozen]

    def logits(
        self, adapted: Sequence[Params], frozen: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """See `Executor`."""
        inner_loop = self._initialization.inner_loop
        scale = {head.SCALE: self._initialization.params[head.SCALE]}
        return [
            logits_over_views({**own, **scale}, seen_in_queries(inner_loop, queries))
            for own, queries in zip(adapted, frozen, strict=True)
        ]
