"""The inner loop: the one definition of adaptation. Trained, evaluated and served alike.

    theta_{k+1} = theta_k - alpha_k * grad L_support(theta_k)

(MAML, Finn et al., ICML 2017, eq. 1) with step sizes alpha learned per tensor and step (MAML++,
Antoniou et al., ICLR 2019, sec. 4). L_support weighs classes equally, so each of its n_way rows
of the head gets 1/n_way of a gradient; their step is therefore n_way times as long, which makes
the head learn at the same speed at any number of classes.

The head is its start plus an offset, and it is the offset that steps. A head that starts at the
class means starts at those of the fast weights' own features in every step: it follows the
network, and the gradient by the network goes through the means. So the steps draw the images of
a class together and the classes apart, where a head left behind would hold the features in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from . import head
from .episode import Support
from .network import Network
from .params import Params, mapped
from .views import no_views, with_views

HEAD = frozenset({head.WEIGHT, head.BIAS})


@dataclass(frozen=True)
class InnerLoop:
    """How an initialization adapts: its number of steps and where the head starts."""

    steps: int
    head_start: head.HeadStart = "class_means"


@dataclass(frozen=True)
class Initialization:
    """Meta-learned parameters and the inner loop that they were learned for.

    ``step_sizes`` maps the name of every tensor that adapts to `(inner_loop.steps,)` step
    sizes, or for tensors of the network to `(inner_loop.steps, *its shape)`, one for each of its
    numbers (Meta-SGD, Li et al., 2017, which has one set for all steps). A tensor without them
    stays as it is; with those of the head alone this is ANIL (Raghu et al., ICLR 2020).
    ``views`` are `(view, 2, 3)`, see `views`.
    """

    params: Params
    step_sizes: Params
    inner_loop: InnerLoop
    views: torch.Tensor = field(default_factory=no_views)


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
    inner_loop, params = initialization.inner_loop, initialization.params
    wanted = inner_loop.steps if steps is None else steps
    seen = with_views(support, initialization.views)
    trunk = initialization.step_sizes.keys() - HEAD
    # What lies before the first part that adapts is computed once.
    parts = network.parts
    first = next((i for i, names in enumerate(parts) if names & trunk), len(parts))
    resting = network.through(params, seen.images, 0, first)

    def loss_at(moving: Params) -> tuple[torch.Tensor, Params]:
        features = network.through({**params, **moving}, resting, first, len(parts))
        start = head.start(inner_loop.head_start, features, seen)
        rows = {name: start[name] + moving.get(name, 0) for name in HEAD}
        return _loss(head.logits({**params, **rows}, features), seen), rows

    offset = {
        head.WEIGHT: resting.new_zeros(support.n_way, network.feature_size),
        head.BIAS: resting.new_zeros(support.n_way),
    }
    moving: Params = {name: {**params, **offset}[name] for name in initialization.step_sizes}
    # The last state needs its loss alone.
    for number in range(wanted):
        gradients, (loss, rows) = torch.func.grad_and_value(loss_at, has_aux=True)(moving)
        yield Step(number, {**params, **moving, **rows}, loss)
        if not second_order:
            gradients = mapped(torch.Tensor.detach, gradients)
        learned = min(number, inner_loop.steps - 1)
        moving = {
            name: tensor
            - _step_size(name, initialization.step_sizes[name][learned], support) * gradients[name]
            for name, tensor in moving.items()
        }
    loss, rows = loss_at(moving)
    yield Step(wanted, {**params, **moving, **rows}, loss)


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


def support_loss(network: Network, fast_weights: Params, support: Support) -> torch.Tensor:
    """The class-balanced cross-entropy of a support set, in nats."""
    return _loss(logits(network, fast_weights, support.images), support)


def _loss(scores: torch.Tensor, support: Support) -> torch.Tensor:
    log_likelihoods = scores.log_softmax(1)
    chosen = (log_likelihoods * support.membership()).sum(1)
    return -(support.class_weights() * chosen).sum()


def logits(network: Network, fast_weights: Params, images: torch.Tensor) -> torch.Tensor:
    """`(batch, channel, height, width)` images to `(batch, n_way)` logits."""
    return head.logits(fast_weights, network.features(fast_weights, images))


def probabilities(network: Network, fast_weights: Params, images: torch.Tensor) -> torch.Tensor:
    """`(batch, channel, height, width)` images to `(batch, n_way)` probabilities."""
    return logits(network, fast_weights, images).softmax(1)


def _step_size(name: str, learned: torch.Tensor, support: Support) -> torch.Tensor:
    return learned * support.n_way if name in HEAD else learned
