"""MAML: the gradient of the query loss after adaptation, through the adaptation.

    theta <- theta - beta * grad_theta sum_i L_query_i(theta'_i)

(Finn et al., ICML 2017, algorithm 2). Step sizes are learned by the same gradient.
"""

from __future__ import annotations

from .episode import Episode
from .inner_loop import Initialization
from .meta_gradient import MetaGradient, through_adaptation
from .network import Network


def maml(
    network: Network,
    initialization: Initialization,
    episode: Episode,
    multi_step_share: float,
) -> MetaGradient:
    """The meta-gradient of one episode, second order."""
    return through_adaptation(
        network,
        initialization,
        episode,
        second_order=True,
        multi_step_share=multi_step_share,
    )
