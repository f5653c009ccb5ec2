"""All of a prediction as one module, which is what can be traced: pixels in, probabilities out.

It is written by the functions that evaluations and the engine's reference use. Every tensor of an
initialization and of a session is an input, so that one trace serves all sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..images.preprocessing import Preprocessing
from ..meta.head import BIAS, WEIGHT
from ..meta.inner_loop import Initialization, frozen_features, logits_from_frozen
from ..meta.network import Network
from ..meta.scores import Scoring
from ..meta.views import no_views

IMAGE, VIEWS, COUNTS = "image", "views", "image_counts"
"""Inputs: `(batch, height, width, 4)` uint8, `(view, 2, 3)` and `(way,)` float32."""
PROBABILITIES, NONE_OF_THESE = "probabilities", "none_of_these"
"""Outputs: `(batch, way)` and, where a limit is known, `(batch,)`."""


@dataclass(frozen=True)
class Parts:
    """What predictions are made of, and whether queries are seen in more views than one."""

    network: Network
    preprocessing: Preprocessing
    initialization: Initialization
    scoring: Scoring
    has_views: bool

    def names(self) -> tuple[str, ...]:
        """The names of the tensors that a prediction takes, sorted."""
        return tuple(sorted({*self.initialization.params, WEIGHT, BIAS}))

    def outputs(self) -> tuple[str, ...]:
        """The names of what comes out."""
        return (PROBABILITIES,) if self.scoring.limit is None else (PROBABILITIES, NONE_OF_THESE)


class Program(torch.nn.Module):
    """A prediction, as a function of pixels and of all tensors."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts, self._names = parts, parts.names()

    def forward(
        self,
        image: torch.Tensor,
        tensors: Sequence[torch.Tensor],
        views: torch.Tensor | None,
        counts: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:
        """What `Parts.outputs` names, of ``tensors`` in the order of `Parts.names`."""
        parts, params = self._parts, dict(zip(self._names, tensors, strict=True))
        initialization = replace(parts.initialization, params=params)
        frozen = frozen_features(
            parts.network,
            initialization,
            parts.preprocessing(image),
            no_views() if views is None else views,
        )
        logits = logits_from_frozen(parts.network, initialization, params, frozen)
        outputs = (parts.scoring.probabilities(logits),)
        if counts is None:
            return outputs
        apart = parts.scoring.none_of_these(logits, counts)
        return outputs if apart is None else (*outputs, apart)
