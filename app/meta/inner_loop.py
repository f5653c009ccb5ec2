"""The inner loop: the one definition of adaptation, in training, evaluation and serving.

    theta_{k+1} = theta_k - alpha_k * grad L_support(theta_k)

(MAML, Finn et al., ICML 2017, eq. 1) with step sizes alpha learned per tensor and step (MAML++,
Antoniou et al., ICLR 2019, sec. 4). L_support weighs classes equally, so each of its n_way rows
of the head gets 1/n_way of a gradient; their step is therefore n_way times as long, which makes
the head learn at the same speed at any number of classes. Where an initialization says so, the
head steps in units of curvature instead (`curvature`), whatever its number of classes.

The head is its start plus an offset, and it is the offset that steps. A head that starts at the
class means starts at those of the fast weights' own features in every step: it follows the
network, and the gradient by the network goes through the means. So the steps draw the images of
a class together and the classes apart; a head that did not follow would hold the features back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch

from . import head
from .curvature import MOST_BY_CURVATURE, head_direction
from .episode import Support
from .network import Network
from .params import Params, mapped
from .views import no_views, with_views

HEAD = frozenset({head.WEIGHT, head.BIAS})


@dataclass(frozen=True)
class InnerLoop:
    """How an initialization adapts: its number of steps and where the head starts.

    With ``query_views`` a query is classified by its mean features over the views too. With
    ``damping``, above 0, the head steps in units of curvature, see `curvature`. With
    ``half_features`` what the frozen parts make of images is rounded to half precision, in which
    it can be kept in place of the images.
    """

    steps: int
    head_start: head.HeadStart = "class_means"
    query_views: bool = False
    damping: float | None = None
    half_features: bool = False


@dataclass(frozen=True)
class Initialization:
    """Meta-learned parameters and the inner loop that they were learned for.

    ``step_sizes`` maps the name of every tensor that adapts to `(inner_loop.steps,)` step
    sizes, or for tensors of the network to `(inner_loop.steps, *its shape)`, one for each of its
    values (Meta-SGD, Li et al., 2017, which has one set for all steps). A tensor without step
    sizes is frozen; if the head alone has them this is ANIL (Raghu et al., ICLR 2020).
    ``views`` are `(view, 2, 3)`, see `views`.
    """

    params: Params
    step_sizes: Params
    inner_loop: InnerLoop
    views: torch.Tensor = field(default_factory=no_views)

    def query_views(self) -> torch.Tensor:
        """The `(view, 2, 3)` views that queries are classified over."""
        return self.views if self.inner_loop.query_views else no_views()


@dataclass(frozen=True)
class Step:
    """The state of an inner loop after ``number`` steps; ``loss`` is the support loss there."""

    number: int
    fast_weights: Params
    loss: torch.Tensor


def trajectory(
    network: Network,
    initialization: Initialization,
    support: Support,
    *,
    steps: int | None = None,
    second_order: bool = False,
) -> Iterator[Step]:
    """Yield the states after 0, 1, ..., ``steps`` steps (the initialization's own by default).

    Fast weights are all that prediction needs: the parameters, adapted or not, and a head with
    ``support.n_way`` rows. Steps beyond the learned ones reuse the last step sizes.

    With ``second_order`` gradients flow through the inner gradients; without, inner gradients
    count as constants, which is the first-order approximation.
    """
    frozen = replace(support, images=frozen_features(network, initialization, support.images))
    return trajectory_from_frozen(
        network, initialization, frozen, steps=steps, second_order=second_order
    )


def trajectory_from_frozen(
    network: Network,
    initialization: Initialization,
    frozen: Support,
    *,
    steps: int | None = None,
    second_order: bool = False,
) -> Iterator[Step]:
    """`trajectory` of a support set whose images are what `frozen_features` made of them."""
    inner_loop, params = initialization.inner_loop, initialization.params
    n_steps = inner_loop.steps if steps is None else steps
    flat = Support(
        frozen.images.flatten(0, 1),
        frozen.labels.repeat_interleave(frozen.images.shape[1]),
        frozen.n_way,
    )
    first, stop = first_adapted(network, initialization), len(network.parts)

    def loss_at(adapted: Params) -> tuple[torch.Tensor, tuple[Params, torch.Tensor]]:
        features = network.through({**params, **adapted}, flat.images, first, stop)
        loss, rows = loss_of_features(initialization, adapted, features, flat)
        return loss, (rows, features)

    adapted = start_of_adapted(network, initialization, flat.n_way)
    # The last state needs no gradient.
    for number in range(n_steps):
        gradients, (loss, (rows, features)) = torch.func.grad_and_value(loss_at, has_aux=True)(
            adapted
        )
        yield Step(number, {**params, **adapted, **rows}, loss)
        gradients = preconditioned(initialization, gradients, {**adapted, **rows}, features, flat)
        if not second_order:
            gradients = mapped(torch.Tensor.detach, gradients)
        adapted = {
            name: tensor - step_size(initialization, name, number, flat.n_way) * gradients[name]
            for name, tensor in adapted.items()
        }
    loss, (rows, _) = loss_at(adapted)
    yield Step(n_steps, {**params, **adapted, **rows}, loss)


def adapt(
    network: Network,
    initialization: Initialization,
    support: Support,
    *,
    steps: int | None = None,
    second_order: bool = False,
) -> Step:
    """Run the inner loop and return its last state; see `trajectory`."""
    *_, last = trajectory(network, initialization, support, steps=steps, second_order=second_order)
    return last


def frozen_features(
    network: Network,
    initialization: Initialization,
    images: torch.Tensor,
    views: torch.Tensor | None = None,
) -> torch.Tensor:
    """`(image, 1 + view, ...)`: images and their views, through the frozen parts.

    They are the same for every support set. ``views`` are the initialization's own by default.
    """
    viewed = with_views(images, initialization.views if views is None else views)
    first = first_adapted(network, initialization)
    hidden = network.through(initialization.params, viewed.flatten(0, 1), 0, first)
    hidden = rounded(initialization.inner_loop, hidden)
    return hidden.reshape(*viewed.shape[:2], *hidden.shape[1:])


def rounded(inner_loop: InnerLoop, hidden: torch.Tensor) -> torch.Tensor:
    """What frozen parts made, rounded where ``half_features`` asks for it.

    Gradients pass as if it were not.
    """
    if not inner_loop.half_features:
        return hidden
    return hidden + (hidden.to(torch.float16).to(hidden.dtype) - hidden).detach()


def first_adapted(network: Network, initialization: Initialization) -> int:
    """The first part that adapts, or the number of parts where the head alone does."""
    trunk = initialization.step_sizes.keys() - HEAD
    parts = network.parts
    return next((i for i, names in enumerate(parts) if names & trunk), len(parts))


def start_of_adapted(network: Network, initialization: Initialization, n_way: int) -> Params:
    """What adapts before the first step: parameters, and offsets of the head, which are 0."""
    zero = initialization.params[head.SCALE].new_zeros
    offset = {head.WEIGHT: zero(n_way, network.feature_size), head.BIAS: zero(n_way)}
    return {name: {**initialization.params, **offset}[name] for name in initialization.step_sizes}


def loss_of_features(
    initialization: Initialization, adapted: Params, features: torch.Tensor, support: Support
) -> tuple[torch.Tensor, Params]:
    """The support loss of `(support, feature)` features, and the rows of the head there."""
    params = {**initialization.params, **adapted}
    start = head.start(initialization.inner_loop.head_start, features, support)
    rows = {name: start[name] + adapted.get(name, 0) for name in HEAD}
    return support_loss(head.logits({**params, **rows}, features), support), rows


def preconditioned(
    initialization: Initialization,
    gradients: Params,
    adapted: Params,
    features: torch.Tensor,
    support: Support,
) -> Params:
    """The gradients that steps follow: those of the head by curvature where that is so.

    ``adapted`` holds what adapted so far, with the rows of the head; ``features`` are theirs.
    """
    damping = initialization.inner_loop.damping
    if damping is None:
        return gradients
    direction = head_direction({**initialization.params, **adapted}, features, support, damping)
    return {name: direction.get(name, gradient) for name, gradient in gradients.items()}


def step_size(initialization: Initialization, name: str, number: int, n_way: int) -> torch.Tensor:
    """How far a tensor moves in a step: rows of the head n_way times as far, unless by curvature.

    By curvature rows and biases take one size, the mean of theirs, between 0 and 2, so that no
    step raises the support loss. Steps beyond the learned ones take the sizes of the last of these.
    """
    inner_loop, sizes = initialization.inner_loop, initialization.step_sizes
    last = min(number, inner_loop.steps - 1)
    if name in HEAD and inner_loop.damping is not None:
        learned = torch.stack([sizes[kind][last] for kind in sorted(HEAD & sizes.keys())])
        return learned.mean().clamp(0, MOST_BY_CURVATURE)
    return sizes[name][last] * n_way if name in HEAD else sizes[name][last]


def support_loss(logits: torch.Tensor, support: Support) -> torch.Tensor:
    """The class-balanced cross-entropy of a support set's `(support, n_way)` logits, in nats."""
    log_likelihoods = (logits.log_softmax(1) * support.membership()).sum(1)
    return -(support.class_weights() * log_likelihoods).sum()


def logits(
    network: Network, initialization: Initialization, fast_weights: Params, images: torch.Tensor
) -> torch.Tensor:
    """`(batch, channel, height, width)` images to `(batch, n_way)` logits, row by row."""
    frozen = frozen_features(network, initialization, images, initialization.query_views())
    return logits_from_frozen(network, initialization, fast_weights, frozen)


def logits_from_frozen(
    network: Network, initialization: Initialization, fast_weights: Params, frozen: torch.Tensor
) -> torch.Tensor:
    """`logits` of what `frozen_features` made of the images.

    Views that queries are not classified over are left out.
    """
    viewed = seen_in_queries(initialization.inner_loop, frozen)
    features = network.through(
        fast_weights,
        viewed.flatten(0, 1),
        first_adapted(network, initialization),
        len(network.parts),
    )
    return logits_over_views(fast_weights, features.reshape(*viewed.shape[:2], -1))


def seen_in_queries(inner_loop: InnerLoop, viewed: torch.Tensor) -> torch.Tensor:
    """Of `(image, 1 + view, ...)` those that a query is classified over."""
    return viewed if inner_loop.query_views else viewed[:, :1]


def logits_over_views(fast_weights: Params, features: torch.Tensor) -> torch.Tensor:
    """`(batch, n_way)` logits from `(batch, 1 + view, feature)` features of images and views.

    An image with views is classified by the mean of its unit features over them.
    """
    if features.shape[1] == 1:
        return head.logits(fast_weights, features[:, 0])
    return head.logits(fast_weights, head.unit(features.flatten(0, 1)).view_as(features).mean(1))
