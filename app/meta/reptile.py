"""Reptile: move the initialization towards where adaptation leads.

    theta <- theta + epsilon * (theta'_i - theta)

(Nichol, Achiam and Schulman, 2018, algorithm 1.) It has no query set: it adapts to all images
of an episode. theta - theta' serves as a gradient, which the paper suggests for Adam (sec. 3).
Only what adapts is learned: step sizes and the head's scale stay as they are.
"""

from __future__ import annotations

import torch

from .episode import Episode, Support
from .inner_loop import Initialization, adapt, logits
from .meta_gradient import MetaGradient
from .network import Network
from .params import detached, mapped


def reptile(
    network: Network,
    initialization: Initialization,
    episode: Episode,
    _multi_step_share: float,
) -> MetaGradient:
    """The difference from the adapted parameters, with loss and accuracy on all images."""
    start = detached(initialization.params)
    support = Support(
        torch.cat([episode.support.images, episode.query_images]),
        torch.cat([episode.support.labels, episode.query_labels]),
        episode.support.n_way,
    )
    with torch.no_grad():
        adapted = adapt(network, initialization, support)
        predicted = logits(network, initialization, adapted.fast_weights, support.images).argmax(1)
    right = predicted == support.labels
    return MetaGradient(
        params={
            name: tensor - adapted.fast_weights[name]
            for name, tensor in start.items()
            if name not in network.fixed()
        },
        step_sizes=mapped(torch.zeros_like, detached(initialization.step_sizes)),
        loss=float(adapted.loss),
        accuracy=float(right.to(torch.float32).mean()),
    )
