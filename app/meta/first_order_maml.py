"""First-order MAML: as MAML, with the inner gradients taken as constants.

(Finn et al., ICML 2017, sec. 5.2; Nichol et al., 2018, sec. 2.) The second derivatives are left
out; what the head's start and the step sizes owe to the query loss is kept.
"""

from __future__ import annotations

from .episode import Episode
from .inner_loop import Initialization
from .meta_gradient import MetaGradient, through_adaptation
from .network import Network


def first_order_maml(
    network: Network,
    initialization: Initialization,
    episode: Episode,
    multi_step_share: float,
) -> MetaGradient:
    """The meta-gradient of one episode, first order."""
    return through_adaptation(
        network,
        initialization,
        episode,
        second_order=False,
        multi_step_share=multi_step_share,
    )
