"""An initialization on some classes, as an evaluation asks it: what it answers on an episode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Protocol

import torch

from ..data.episodes import ClassImages, EpisodePlan, realize
from ..meta.episode import Episode
from ..meta.head import unit
from ..meta.inner_loop import (
    HEAD,
    Initialization,
    Step,
    first_adapted,
    frozen_features,
    logits_from_frozen,
    trajectory_from_frozen,
)
from ..meta.network import Network
from ..meta.params import Params


class Candidate(Protocol):
    """What an evaluation needs of an initialization and the classes it is measured on."""

    @property
    def initialization(self) -> Initialization:
        """The initialization that is measured."""
        ...

    @property
    def classes(self) -> ClassImages:
        """The classes that episodes are drawn from."""
        ...

    def trajectory(self, plan: EpisodePlan, steps: int | None) -> Iterator[Step]:
        """The states of the inner loop on an episode's support set."""
        ...

    def logits(self, plan: EpisodePlan, fast_weights: Params) -> torch.Tensor:
        """The `(query, n_way)` logits of an episode's queries."""
        ...

    def embedded(self, plan: EpisodePlan) -> Episode:
        """The episode with unadapted unit features `(image, feature)` in place of images."""
        ...

    @property
    def head_alone(self) -> Candidate | None:
        """The same with the network left as it is; None where nothing else adapts anyway."""
        ...


@dataclass(frozen=True)
class Inductive:
    """A candidate that classifies each query by itself, as the service does.

    All images go through the frozen parts once, for all episodes together.
    """

    network: Network
    initialization: Initialization
    classes: ClassImages

    def trajectory(self, plan: EpisodePlan, steps: int | None) -> Iterator[Step]:
        """The states of the inner loop on an episode's support set."""
        support = realize(self._frozen, plan).support
        return trajectory_from_frozen(self.network, self.initialization, support, steps=steps)

    def logits(self, plan: EpisodePlan, fast_weights: Params) -> torch.Tensor:
        """The `(query, n_way)` logits of an episode's queries."""
        return self._classified(fast_weights, realize(self._frozen, plan).query_images)

    def logits_of(self, images: Sequence[tuple[int, int]], fast_weights: Params) -> torch.Tensor:
        """The `(image, n_way)` logits of images given by their class and position in it."""
        return self._classified(fast_weights, self._frozen.at(images))

    def embedded(self, plan: EpisodePlan) -> Episode:
        """The episode with unadapted unit features `(image, feature)` in place of images."""
        return realize(self.features, plan)

    @cached_property
    def head_alone(self) -> Inductive | None:
        """The same with the network left as it is; None where nothing else adapts anyway."""
        initialization = without_network_steps(self.initialization)
        return None if initialization is None else replace(self, initialization=initialization)

    @cached_property
    def features(self) -> ClassImages:
        """The unadapted unit features `(image, feature)` of every image, in place of the images."""
        return embed(self.network, self.initialization, self.classes)

    @cached_property
    def _frozen(self) -> ClassImages:
        through = partial(frozen_features, self.network, self.initialization)
        if first_adapted(self.network, self.initialization) == 0:
            # Views of the images: many times as large, and soon made.
            return self.classes.changed(through)
        return self.classes.computed(through)

    def _classified(self, fast_weights: Params, frozen: torch.Tensor) -> torch.Tensor:
        return logits_from_frozen(self.network, self.initialization, fast_weights, frozen)


def without_network_steps(initialization: Initialization) -> Initialization | None:
    """The same initialization with the head alone adapting; None if that is so already."""
    head = {name: sizes for name, sizes in initialization.step_sizes.items() if name in HEAD}
    if len(head) == len(initialization.step_sizes):
        return None
    return replace(initialization, step_sizes=head)


@torch.no_grad()
def embed(network: Network, initialization: Initialization, classes: ClassImages) -> ClassImages:
    """The unit features `(image, feature)` of every image, in place of the images."""
    return classes.computed(lambda images: unit(network.features(initialization.params, images)))
