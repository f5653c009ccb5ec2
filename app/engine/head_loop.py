"""The inner loop of the head alone in units of curvature, on features that are computed once.

`meta.inner_loop` and `meta.curvature` are the definition, which solves one linear system in every
step. Its matrix stays the same, and so does what a step moves the logits by: here the matrix is
factored once, and a step costs as little as the smaller of the support set and the features is.
"""

from __future__ import annotations

import torch

from ..meta import head
from ..meta.curvature import factored
from ..meta.episode import Support
from ..meta.inner_loop import (
    Initialization,
    logits_over_views,
    seen_in_queries,
    step_size,
    support_loss,
)
from ..meta.params import Params
from .executor import Outcome


def adapt_head(initialization: Initialization, frozen: Support, steps: int) -> Outcome:
    """Adapt to `(support, 1 + view, feature)` features: what `trajectory_from_frozen` comes to."""
    n_images, n_views = frozen.images.shape[:2]
    units = head.unit(frozen.images.flatten(0, 1))
    rows = Support(units, frozen.labels.repeat_interleave(n_views), frozen.n_way)
    start = head.start(initialization.inner_loop.head_start, units, rows)
    scale = initialization.params[head.SCALE]
    offset, losses = _stepped(initialization, rows, start, steps)
    adapted = {
        head.WEIGHT: start[head.WEIGHT] - offset[:, :-1] / scale,
        head.BIAS: start[head.BIAS] - offset[:, -1] / scale,
    }
    seen = seen_in_queries(initialization.inner_loop, units.view(n_images, n_views, -1))
    return Outcome(adapted, losses, logits_over_views({**adapted, head.SCALE: scale}, seen))


def _stepped(
    initialization: Initialization, rows: Support, start: Params, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`(n_way, feature + 1)`: how far the head's rows have moved, times the scale; the losses."""
    membership, shares = rows.membership(), rows.class_weights().sqrt().unsqueeze(1)
    inputs = torch.cat([rows.images, torch.ones_like(rows.images[:, :1])], 1)
    weighted = inputs * shares
    in_rows = inputs.shape[0] <= inputs.shape[1]
    matrix = weighted @ weighted.T if in_rows else weighted.T @ weighted
    damping = initialization.inner_loop.damping
    if damping is None:
        raise ValueError("expected steps in units of curvature")
    factor = factored(matrix / 2, damping / membership.sum())
    moved = (inputs @ weighted.T if in_rows else inputs).to(torch.float64)
    params = {**initialization.params, **start}
    logits = head.logits(params, rows.images).to(torch.float64)
    offset = torch.zeros(len(matrix), rows.n_way, dtype=torch.float64)
    losses = [support_loss(logits, rows)]
    for number in range(steps):
        residuals = (logits.softmax(1) - membership) * shares
        right = residuals if in_rows else weighted.T.to(torch.float64) @ residuals
        size = step_size(initialization, head.WEIGHT, number, rows.n_way)
        step = size * torch.cholesky_solve(right, factor)
        offset, logits = offset + step, logits - moved @ step
        losses.append(support_loss(logits, rows))
    moves = weighted.T @ offset.to(weighted.dtype) if in_rows else offset.to(weighted.dtype)
    return moves.T, torch.stack(losses).to(rows.images.dtype)
