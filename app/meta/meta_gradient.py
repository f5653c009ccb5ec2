"""What a meta-learner hands to the outer loop, and the gradient through an adaptation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .episode import Episode
from .inner_loop import Initialization, logits, trajectory
from .network import Network
from .params import Params, detached


@dataclass(frozen=True)
class MetaGradient:
    """The direction of one episode for the parameters and for the step sizes.

    ``loss`` is the query loss after adaptation in nats, ``accuracy`` the share of queries right
    in 0..1; both as they were before the outer step.
    """

    params: Params
    step_sizes: Params
    loss: float
    accuracy: float


def through_adaptation(
    network: Network,
    initialization: Initialization,
    episode: Episode,
    *,
    second_order: bool,
    multi_step_share: float,
) -> MetaGradient:
    """Differentiate the query loss after adaptation by parameters and step sizes.

    ``multi_step_share`` in 0..1 weighs the mean of the query losses after every step, 1 minus it
    the loss after the last step: MAML++'s multi-step loss (Antoniou et al., ICLR 2019, sec. 4,
    eq. 2), whose weights move from even to the last step alone as the share falls from 1 to 0.
    """
    learning = {
        name: tensor.detach().requires_grad_()
        for name, tensor in initialization.params.items()
        if name not in network.fixed()
    }
    step_sizes = {
        name: tensor.detach().requires_grad_() for name, tensor in initialization.step_sizes.items()
    }
    watched = replace(
        initialization, params={**initialization.params, **learning}, step_sizes=step_sizes
    )
    by_step = [
        logits(network, watched, step.fast_weights, episode.query_images)
        for step in trajectory(network, watched, episode.support, second_order=second_order)
        if step.number == watched.inner_loop.steps or (multi_step_share and step.number)
    ]
    losses = [torch.nn.functional.cross_entropy(each, episode.query_labels) for each in by_step]
    loss = losses[-1]
    objective = (1 - multi_step_share) * loss + multi_step_share * torch.stack(losses).mean()
    gradients = torch.autograd.grad(objective, [*learning.values(), *step_sizes.values()])
    right = (by_step[-1].argmax(1) == episode.query_labels).to(torch.float32).mean()
    return MetaGradient(
        params=detached(dict(zip(learning, gradients, strict=False))),
        step_sizes=detached(dict(zip(step_sizes, gradients[len(learning) :], strict=True))),
        loss=float(loss.detach()),
        accuracy=float(right),
    )
