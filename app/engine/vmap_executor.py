"""Many sessions at once: the definition, mapped over a stack of them (`torch.func.vmap`).

Support sets of one number of classes are padded to a common number of images. A padded image has
the label -1, which is no class, so that it has no weight in the loss and none in a class's mean;
networks take every image by itself, so that it changes no other one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch.nn import functional

from ..meta.episode import Support
from ..meta.params import Params
from .executor import EagerExecutor, Outcome

NO_CLASS = -1


class VmapExecutor(EagerExecutor):
    """The executor of one initialization that stacks what it is given."""

    name = "vmap"
    max_adapt_batch = 64
    max_predict_batch = 256

    def bucket(self, n_images: int) -> int:
        """The next power of two: at most as many images are padded as there are."""
        return 1 << (n_images - 1).bit_length()

    def adapt(self, frozen: Sequence[Support], steps: int) -> list[Outcome]:
        """See `Executor`."""
        if len(frozen) == 1:
            return super().adapt(frozen, steps)
        counts = [len(one.images) for one in frozen]
        images, labels = (
            _padded([one.images for one in frozen], 0.0),
            _padded([one.labels for one in frozen], NO_CLASS),
        )
        n_way = frozen[0].n_way

        def one(
            images: torch.Tensor, labels: torch.Tensor
        ) -> tuple[Params, torch.Tensor, torch.Tensor]:
            return self._run(Support(images, labels, n_way), steps)

        adapted, losses, scores = torch.func.vmap(one)(images, labels)
        return [
            Outcome(
                adapted={name: tensor[place] for name, tensor in adapted.items()},
                losses=losses[place],
                scores=scores[place, :count],
            )
            for place, count in enumerate(counts)
        ]

    def logits(
        self, adapted: Sequence[Params], frozen: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """See `Executor`. Sessions of one number of classes and bucket are stacked."""
        groups: dict[tuple[torch.Size, int], list[int]] = defaultdict(list)
        for place, (own, queries) in enumerate(zip(adapted, frozen, strict=True)):
            groups[own["head.weight"].shape, self.bucket(len(queries))].append(place)
        found: dict[int, torch.Tensor] = {}
        for places in groups.values():
            if len(places) == 1:
                found[places[0]] = super().logits([adapted[places[0]]], [frozen[places[0]]])[0]
                continue
            stack = {
                name: torch.stack([adapted[place][name] for place in places])
                for name in adapted[places[0]]
            }
            scores = torch.func.vmap(
                lambda own, queries: super(VmapExecutor, self).logits([own], [queries])[0]
            )(stack, _padded([frozen[place] for place in places], 0.0))
            found |= {place: scores[row, : len(frozen[place])] for row, place in enumerate(places)}
        return [found[place] for place in range(len(adapted))]


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
