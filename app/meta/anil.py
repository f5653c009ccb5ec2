"""ANIL: MAML whose inner loop adapts the head alone.

(Almost No Inner Loop, Raghu et al., ICLR 2020, sec. 4.) The outer loop still learns everything.
"""

from __future__ import annotations

from .episode import Episode
from .head import BIAS, WEIGHT
from .inner_loop import Initialization
from .meta_gradient import MetaGradient, through_adaptation
from .network import Network


def anil(
    network: Network,
    initialization: Initialization,
    episode: Episode,
    multi_step_share: float,
) -> MetaGradient:
    """The meta-gradient of one episode, second order.

    Raises ValueError for step sizes of tensors outside of the head: serving would adapt these.
    """
    outside = initialization.step_sizes.keys() - {WEIGHT, BIAS}
    if outside:
        raise ValueError(
            f"ANIL adapts the head alone; expected no step sizes but its own, got {sorted(outside)}"
        )
    return through_adaptation(
        network,
        initialization,
        episode,
        second_order=True,
        multi_step_share=multi_step_share,
    )
