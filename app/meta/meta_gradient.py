"""What a meta-learner hands to the outer loop, and the gradient that MAML's kin share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .episode import Episode
from .inner_loop import Initialization, adapt, logits
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
    network: Network, initialization: Initialization, episode: Episode, *, second_order: bool
) -> MetaGradient:
    """Differentiate the query loss after adaptation by parameters and step sizes."""
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
    adapted = adapt(network, watched, episode.support, second_order=second_order)
    scores = logits(network, adapted.fast_weights, episode.query_images)
    loss = torch.nn.functional.cross_entropy(scores, episode.query_labels)
    gradients = torch.autograd.grad(loss, [*learning.values(), *step_sizes.values()])
    right = (scores.argmax(1) == episode.query_labels).to(torch.float32).mean()
    return MetaGradient(
        params=detached(dict(zip(learning, gradients, strict=False))),
        step_sizes=detached(dict(zip(step_sizes, gradients[len(learning) :], strict=True))),
        loss=float(loss.detach()),
        accuracy=float(right),
    )
