"""Transductive evaluation, which figures of some papers come from: queries share statistics.

A network that normalises by the batch, and is given all queries of an episode as one batch,
learns something of each query from the others. MAML was first measured in this way (Nichol,
Achiam and Schulman, 2018, report both kinds and call this one transductive). Nothing is served or
selected by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from ..data.episodes import ClassImages, EpisodePlan, realize
from ..meta.episode import Episode
from ..meta.head import unit
from ..meta.inner_loop import Initialization, Step, logits, trajectory
from ..meta.network import Network
from ..meta.params import Params
from ..networks.resnet12 import ResNet12
from .candidate import without_network_steps


@dataclass(frozen=True)
class TransductiveNetwork:
    """A network whose `features` normalise by their batch instead of by stored statistics.

    The batch is the support set in the inner loop, and all queries of an episode afterwards.
    """

    network: Network

    @property
    def feature_size(self) -> int:
        """Length of a feature vector."""
        return self.network.feature_size

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self.network.input_shape

    def initialize(self, generator: torch.Generator) -> Params:
        """Draw fresh parameters."""
        return self.network.initialize(generator)

    def fixed(self) -> frozenset[str]:
        """Names of the stored statistics, which are not read here."""
        return self.network.fixed()

    def features(self, params: Params, images: torch.Tensor) -> torch.Tensor:
        """`(batch, channel, height, width)` to `(batch, feature_size)`; rows share statistics."""
        features, _ = self.features_in_pretraining(params, images, torch.Generator())
        return features

    @property
    def parts(self) -> tuple[frozenset[str], ...]:
        """All names as one part: what lies before an adapted tensor depends on the batch too."""
        return (frozenset().union(*self.network.parts),)

    def through(
        self, params: Params, hidden: torch.Tensor, first: int, stop: int, /
    ) -> torch.Tensor:
        """All of the network, or nothing."""
        return self.features(params, hidden) if first < stop else hidden

    def features_in_pretraining(
        self, params: Params, images: torch.Tensor, generator: torch.Generator, /
    ) -> tuple[torch.Tensor, Params]:
        """The network's own, which normalises by the batch."""
        return self.network.features_in_pretraining(params, images, generator)


def normalised_by_batch(network: Network) -> TransductiveNetwork:
    """The same network, normalised by the batch and without DropBlock.

    Raises ValueError for a network without stored statistics, which would stay as it is.
    """
    if not network.fixed():
        raise ValueError(
            "expected a network with stored statistics (norm = 'stored'); this one normalises "
            "every image by itself, so that nothing would change"
        )
    if isinstance(network, ResNet12):
        network = replace(network, drop_rate=0.0)
    return TransductiveNetwork(network)


@dataclass(frozen=True)
class TransductiveCandidate:
    """A candidate that classifies all queries of an episode as one batch."""

    network: TransductiveNetwork
    initialization: Initialization
    classes: ClassImages

    def trajectory(self, plan: EpisodePlan, steps: int | None) -> Iterator[Step]:
        """The states of the inner loop on an episode's support set."""
        support = realize(self.classes, plan).support
        return trajectory(self.network, self.initialization, support, steps=steps)

    def logits(self, plan: EpisodePlan, fast_weights: Params) -> torch.Tensor:
        """The `(query, n_way)` logits of an episode's queries, which share statistics."""
        queries = realize(self.classes, plan).query_images
        return logits(self.network, self.initialization, fast_weights, queries)

    def embedded(self, plan: EpisodePlan) -> Episode:
        """The episode with the unit features `(image, feature)` of its two batches for images."""
        episode = realize(self.classes, plan)
        return replace(
            episode,
            support=replace(episode.support, images=self._embed(episode.support.images)),
            query_images=self._embed(episode.query_images),
        )

    @cached_property
    def head_alone(self) -> TransductiveCandidate | None:
        """The same with the network left as it is; None where nothing else adapts anyway."""
        initialization = without_network_steps(self.initialization)
        return None if initialization is None else replace(self, initialization=initialization)

    def _embed(self, images: torch.Tensor) -> torch.Tensor:
        return unit(self.network.features(self.initialization.params, images))
