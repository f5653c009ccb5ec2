"""Pre-training: a plain classifier of all training classes, as a start for meta-training.

A cosine head over features (Chen et al., ICLR 2019, "Baseline++") is trained on every class at
once; the head is thrown away. UNICORN-MAML (Ye and Chao, ICLR 2022) starts so too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch.nn import functional

from ..data.episodes import ClassImages, seeded
from ..meta.head import unit
from ..meta.inner_loop import Initialization
from ..meta.network import Network
from ..meta.params import Params, copied, copied_channels_last, detached
from .augmentation import jittered
from .recipes import PretrainingTable
from .stages import copy_into, cosine_rate, optimizer_tensors, restore_optimizer, set_rates

CLASS_WEIGHT, COSINE_SCALE = "pretraining_head.weight", "pretraining_head.scale"


class Pretraining:
    """The pre-training stage. ``background`` `(channel, 1, 1)` is that of empty image area."""

    name = "pretraining"

    def __init__(
        self,
        network: Network,
        initialization: Initialization,
        classes: ClassImages,
        table: PretrainingTable,
        background: torch.Tensor,
        seed: int,
    ) -> None:
        self.iterations = table.iterations
        self._network, self._table = network, table
        self._classes = classes
        self._places = [
            (label, position)
            for label, images in enumerate(classes.images)
            for position in range(len(images))
        ]
        device = classes.images[0][0].device
        self._background, self._seed = background, seed
        self._started_from = initialization
        fixed = network.fixed()
        params = initialization.params
        self._statistics: Params = {name: params[name] for name in params if name in fixed}
        self._backbone = {
            name: tensor.requires_grad_()
            for name, tensor in copied_channels_last(
                {name: params[name] for name in network.initialize(torch.Generator())}
            ).items()
            if name not in fixed
        }
        rows = torch.randn((len(classes.images), network.feature_size), generator=seeded(seed, 1))
        head = {
            CLASS_WEIGHT: rows / network.feature_size**0.5,
            COSINE_SCALE: torch.tensor(float(table.cosine_scale)),
        }
        self._head = {name: tensor.to(device).requires_grad_() for name, tensor in head.items()}
        self._optimizer = torch.optim.AdamW(
            [
                {"params": list(self._backbone.values()), "weight_decay": table.weight_decay},
                {"params": list(self._head.values()), "weight_decay": 0},
            ]
        )

    def update(self, iteration: int) -> Mapping[str, float]:
        """Classify one batch and step down its cross-entropy (nats)."""
        table = self._table
        rate = cosine_rate(table.learning_rate, iteration, table.iterations, table.warmup)
        set_rates(self._optimizer, [rate, rate])
        generator = seeded(self._seed, 2, iteration)
        drawn = torch.randint(len(self._places), (table.batch_size,), generator=generator)
        places = [self._places[number] for number in drawn.tolist()]
        images = jittered(self._classes.at(places), table.jitter, self._background, generator)
        labels = torch.tensor([label for label, _ in places], device=images.device)
        with torch.autocast(
            images.device.type, torch.bfloat16, enabled=table.precision == "bfloat16"
        ):
            features, statistics = self._network.features_in_pretraining(
                {**self._backbone, **self._statistics},
                images.contiguous(memory_format=torch.channels_last),
                generator,
            )
        cosines = unit(features.float()) @ unit(self._head[CLASS_WEIGHT]).T
        logits = self._head[COSINE_SCALE] * cosines
        loss = functional.cross_entropy(logits, labels)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._statistics = detached(statistics)
        accuracy = (logits.argmax(1) == labels).float().mean()
        return {"loss": float(loss.detach()), "accuracy": float(accuracy)}

    def initialization(self) -> Initialization:
        """The pre-trained backbone in place of the one that the stage started from."""
        start = self._started_from
        learned = copied({**self._backbone, **self._statistics})
        return replace(start, params={**start.params, **learned})

    def tensors(self) -> Params:
        """Backbone, statistics, head and optimizer."""
        state = {**self._backbone, **self._head, **self._statistics}
        return {
            **{f"state.{name}": tensor for name, tensor in state.items()},
            **optimizer_tensors(self._optimizer),
        }

    def restore(self, tensors: Params) -> None:
        """Take up the state that `tensors` gave."""
        copy_into({**self._backbone, **self._head}, tensors, "state.")
        self._statistics = {
            name: tensors[f"state.{name}"].to(statistic.device)
            for name, statistic in self._statistics.items()
        }
        restore_optimizer(self._optimizer, tensors)
