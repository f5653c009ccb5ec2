"""Many sessions at once: the definition, mapped over a stack of them (`torch.func.vmap`).

Support sets of one number of classes are padded to a common number of images. A padded image has
the label -1, which is no class, so that it has no weight in the loss and none in a class's mean;
networks take every image by itself, so that it changes no other one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from ..meta.episode import Support
from ..meta.inner_loop import Initialization
from ..meta.network import Network
from ..meta.params import Params
from .executor import FROZEN_BYTES, EagerExecutor, Outcome

NO_CLASS = -1


class VmapExecutor:
    """The executor of one initialization that stacks what it is given."""

    name = "vmap"
    max_adapt_batch = 64
    max_predict_batch = 256
    max_frozen_bytes = FROZEN_BYTES

    def __init__(self, network: Network, initialization: Initialization) -> None:
        self._eager = EagerExecutor(network, initialization)

    def warm_up(self) -> None:
        """See `Executor`: there is nothing."""

    def bucket(self, n_images: int) -> int:
        """The next power of two: at most as many images are padded as there are."""
        return 1 << (n_images - 1).bit_length()

    def frozen_features(self, images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """See `Executor`."""
        return self._eager.frozen_features(images, views)

    def adapt(self, frozen: Sequence[Support], steps: int) -> list[Outcome]:
        """See `Executor`."""
        if len(frozen) == 1:
            return self._eager.adapt(frozen, steps)
        n_way = frozen[0].n_way

        def alone(
            images: torch.Tensor, labels: torch.Tensor
        ) -> tuple[Params, torch.Tensor, torch.Tensor]:
            return self._eager.run(Support(images, labels, n_way), steps)

        adapted, losses, scores = torch.func.vmap(alone)(
            _padded([support.images for support in frozen], 0.0),
            _padded([support.labels for support in frozen], NO_CLASS),
        )
        return [
            Outcome(
                {name: tensor[row] for name, tensor in adapted.items()},
                losses[row],
                scores[row, : len(support.images)],
            )
            for row, support in enumerate(frozen)
        ]

    def logits(
        self, adapted: Sequence[Params], frozen: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """See `Executor`."""
        if len(frozen) == 1:
            return self._eager.logits(adapted, frozen)

        def alone(own: Params, queries: torch.Tensor) -> torch.Tensor:
            return self._eager.logits([own], [queries])[0]

        stack = {name: torch.stack([own[name] for own in adapted]) for name in adapted[0]}
        scores = torch.func.vmap(alone)(stack, _padded(frozen, 0.0))
        return [scores[row, : len(queries)] for row, queries in enumerate(frozen)]


def _padded(tensors: Sequence[torch.Tensor], value: float) -> torch.Tensor:
    """A stack of tensors, each filled up to the longest with ``value``."""
    longest = max(len(tensor) for tensor in tensors)
    return torch.stack(
        [
            functional.pad(
                tensor, (0, 0) * (tensor.dim() - 1) + (0, longest - len(tensor)), value=value
            )
            for tensor in tensors
        ]
    )
