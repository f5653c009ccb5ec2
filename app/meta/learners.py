"""The table of meta-learners: the one place that names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .anil import anil
from .episode import Episode
from .first_order_maml import first_order_maml
from .inner_loop import Initialization
from .maml import maml
from .meta_gradient import MetaGradient
from .network import Network
from .reptile import reptile

MetaLearner = Callable[[Network, Initialization, Episode, float], MetaGradient]
"""The last argument is the share of the multi-step loss; Reptile has no query loss to share."""

META_LEARNERS: Mapping[str, MetaLearner] = {
    "maml": maml,
    "first_order_maml": first_order_maml,
    "reptile": reptile,
    "anil": anil,
}
