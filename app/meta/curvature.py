"""Steps of the head in units of the curvature of its loss.

The rows of the head, with their biases, are a linear classifier of a = (unit features, 1). Its
class-balanced cross-entropy has a Hessian of at most

    s^2 / 2 * sum_i c_i a_i a_i^T

for each row, whatever the rows are (Boehning, "Multinomial logistic regression algorithm", 1992),
with the class weights c and the scale s of the logits. A gradient that is multiplied by the
inverse of that bound steps as far in directions in which the support set is narrow as in those in
which it is wide, and a step size between 0 and 2 never raises the support loss. What fixed step
sizes come to depends on the domain instead: unit features of fine-grained classes are nearly
parallel, and steps that serve elsewhere diverge there.

Damping adds a multiple of the identity, which grows as images get fewer: directions that the
support set hardly has are left where they start.
"""

from __future__ import annotations

import torch

from . import head
from .episode import Support
from .params import Params

MOST_BY_CURVATURE = 2.0
"""Step size up to which no step raises the support loss."""


def head_direction(
    params: Params, features: torch.Tensor, support: Support, damping: float
) -> Params:
    """The head's preconditioned gradient: `(n_way, feature)` of its rows, `(n_way,)` of biases.

    ``params`` hold the head and its scale, ``features`` are `(support, feature)`; ``damping`` is
    that of a single image, above 0. Images without a class have no part in it.
    """
    membership, weights = support.membership(), support.class_weights()
    inputs = torch.cat([head.unit(features), torch.ones_like(features[:, :1])], 1)
    residuals = head.logits(params, features).softmax(1) - membership
    share = weights.sqrt().unsqueeze(1)
    inputs, residuals = inputs * share, residuals * share
    ridge = damping / membership.sum()
    # The same direction by whichever system is smaller: (r + AA^T/2)^-1 as A^T's left inverse.
    rows, columns = inputs.shape
    if rows <= columns:
        direction = inputs.T @ _solved(inputs @ inputs.T / 2, ridge, residuals)
    else:
        direction = _solved(inputs.T @ inputs / 2, ridge, inputs.T @ residuals)
    direction = direction.T / params[head.SCALE]
    return {head.WEIGHT: direction[:, :-1], head.BIAS: direction[:, -1]}


def factored(matrix: torch.Tensor, ridge: torch.Tensor) -> torch.Tensor:
    """The Cholesky factor of ``matrix`` plus a ridge, in double precision.

    A ridge is small where images are many, and what it regularizes then nearly singular.
    """
    wide = matrix.to(torch.float64)
    factor: torch.Tensor = torch.linalg.cholesky(wide + ridge * torch.eye(len(wide)).to(wide))
    return factor


def _solved(matrix: torch.Tensor, ridge: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    wide = torch.cholesky_solve(right.to(torch.float64), factored(matrix, ridge))
    return wide.to(right.dtype)
