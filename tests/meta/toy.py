"""A network small and smooth enough for closed forms and finite differences."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from inkling.meta.episode import Episode, Support
from inkling.meta.head import BIAS, SCALE, WEIGHT, HeadStart
from inkling.meta.inner_loop import Initialization, InnerLoop
from inkling.meta.params import Params


@dataclass(frozen=True)
class SmoothNetwork:
    """One linear layer and a tanh: no ties, no kinks."""

    inputs: int = 6
    feature_size: int = 4

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return 1, 2, self.inputs // 2

    def initialize(self, generator: torch.Generator) -> Params:
        shape = (self.feature_size, self.inputs)
        return {"layer": torch.randn(shape, generator=generator, dtype=torch.float64)}

    def fixed(self) -> frozenset[str]:
        return frozenset()

    def features(self, params: Params, images: torch.Tensor) -> torch.Tensor:
        return torch.tanh(images.flatten(1) @ params["layer"].T)

    @property
    def parts(self) -> tuple[frozenset[str], ...]:
        return (frozenset({"layer"}),)

    def through(self, params: Params, hidden: torch.Tensor, first: int, stop: int) -> torch.Tensor:
        return self.features(params, hidden) if first < stop else hidden

    def features_in_pretraining(
        self, params: Params, images: torch.Tensor, _generator: torch.Generator
    ) -> tuple[torch.Tensor, Params]:
        return self.features(params, images), {}


def toy_initialization(
    network: SmoothNetwork,
    steps: int = 3,
    head_start: HeadStart = "class_means",
    damping: float | None = None,
) -> Initialization:
    generator = torch.Generator().manual_seed(1)
    sizes = {"layer": 0.3, WEIGHT: 0.2, BIAS: 0.1}
    return Initialization(
        params={
            **network.initialize(generator),
            SCALE: torch.tensor(2.0, dtype=torch.float64),
        },
        step_sizes={
            name: torch.full((steps,), size, dtype=torch.float64) for name, size in sizes.items()
        },
        inner_loop=InnerLoop(steps, head_start, damping=damping),
    )


def toy_episode(n_way: int = 3, counts: tuple[int, ...] = (1, 2, 3)) -> Episode:
    generator = torch.Generator().manual_seed(2)
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])

    def images(count: int) -> torch.Tensor:
        return torch.randn((count, 1, 2, 3), generator=generator, dtype=torch.float64)

    return Episode(Support(images(len(labels)), labels, n_way), images(7), torch.arange(7) % n_way)
