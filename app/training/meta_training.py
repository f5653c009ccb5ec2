"""Meta-training: the outer loop of any meta-learner, with Adam on its meta-gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from ..data.episodes import ClassImages, draw_episode, seeded
from ..meta.episode import Episode
from ..meta.inner_loop import Initialization
from ..meta.learners import META_LEARNERS
from ..meta.network import Network
from ..meta.params import Params, copied, copied_channels_last, detached
from .augmentation import jittered
from .recipes import MetaTrainingTable
from .stages import copy_into, cosine_rate, optimizer_tensors, restore_optimizer, set_rates


class MetaTraining:
    """One meta-training stage. ``background`` `(channel, 1, 1)` is that of empty image area."""

    def __init__(
        self,
        network: Network,
        initialization: Initialization,
        classes: ClassImages,
        table: MetaTrainingTable,
        background: torch.Tensor,
        seed: int,
    ) -> None:
        self.name = table.learner
        self.iterations = table.iterations
        self._network, self._classes, self._table = network, classes, table
        self._background, self._seed = background, seed
        self._started_from = initialization
        # Sorted, because the optimizer's state goes by position.
        learning = sorted(initialization.params.keys() - network.fixed())
        self._params = copied_channels_last({n: initialization.params[n] for n in learning})
        self._step_sizes = copied(dict(sorted(initialization.step_sizes.items())))
        self._optimizer = torch.optim.Adam(
            [
                {"params": list(self._params.values())},
                {"params": list(self._step_sizes.values())},
            ]
        )

    def update(self, iteration: int) -> Mapping[str, float]:
        """Average the meta-gradients of some episodes and take one step of Adam."""
        table = self._table
        set_rates(
            self._optimizer,
            [
                cosine_rate(rate, iteration, table.iterations, table.warmup)
                for rate in (table.learning_rate, table.step_size_learning_rate)
            ],
        )
        learner = META_LEARNERS[
            "first_order_maml" if iteration < table.first_order_iterations else table.learner
        ]
        initialization = self._with(detached(self._params), detached(self._step_sizes))
        annealed = iteration / table.multi_step_iterations if table.multi_step_iterations else 1
        multi_step_share = max(0.0, 1 - annealed)
        self._optimizer.zero_grad()
        loss = accuracy = 0.0
        for episode_number in range(table.episodes_per_update):
            generator = seeded(self._seed, iteration, episode_number)
            episode = self._jittered(
                draw_episode(self._classes, table.shape(), generator), generator
            )
            gradient = learner(self._network, initialization, episode, multi_step_share)
            self._accumulate(self._params, gradient.params)
            self._accumulate(self._step_sizes, gradient.step_sizes)
            loss += gradient.loss / table.episodes_per_update
            accuracy += gradient.accuracy / table.episodes_per_update
        self._optimizer.step()
        return {"loss": loss, "accuracy": accuracy}

    def initialization(self) -> Initialization:
        """The initialization as it stands."""
        return self._with(copied(self._params), copied(self._step_sizes))

    def tensors(self) -> Params:
        """Parameters, step sizes and optimizer."""
        return {
            **{f"param.{name}": tensor for name, tensor in self._params.items()},
            **{f"step_size.{name}": tensor for name, tensor in self._step_sizes.items()},
            **optimizer_tensors(self._optimizer),
        }

    def restore(self, tensors: Params) -> None:
        """Take up the state that `tensors` gave."""
        copy_into(self._params, tensors, "param.")
        copy_into(self._step_sizes, tensors, "step_size.")
        restore_optimizer(self._optimizer, tensors)

    def _with(self, params: Params, step_sizes: Params) -> Initialization:
        start = self._started_from
        return replace(start, params={**start.params, **params}, step_sizes=step_sizes)

    def _accumulate(self, learned: Params, gradients: Params) -> None:
        for name, tensor in learned.items():
            part = gradients[name] / self._table.episodes_per_update
            tensor.grad = part if tensor.grad is None else tensor.grad + part

    def _jittered(self, episode: Episode, generator: torch.Generator) -> Episode:
        def jitter(images: torch.Tensor) -> torch.Tensor:
            return jittered(images, self._table.jitter, self._background, generator)

        support = replace(episode.support, images=jitter(episode.support.images))
        return replace(episode, support=support, query_images=jitter(episode.query_images))
