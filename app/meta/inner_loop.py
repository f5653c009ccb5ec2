"""The inner loop: the one definition of adaptation. Trained, evaluated and served alike.

    theta_{k+1} = theta_k - alpha_k * grad L_support(theta_k)

(MAML, Finn et al., ICML 2017, eq. 1) with step sizes alpha learned per tensor and step (MAML++,
Antoniou et al., ICLR 2019, sec. 4). L_support weighs classes equally, so each of its n_way rows
of the head gets 1/n_way of a gradient; their step is therefore n_way times as long, which makes
the head learn at the same speed at any number of classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from . import head
from .episode import Support
from .network import Network
from .params import Params, mapped


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
    """

    params: Params
    step_sizes: Params
    inner_loop: InnerLoop


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
    inner_loop = initialization.inner_loop
    wanted = inner_loop.steps if steps is None else steps
    features = network.features(initialization.params, support.images)
    fast: Params = {
        **initialization.params,
        **head.start(inner_loop.head_start, features, support),
    }
    head_alone = initialization.step_sizes.keys() <= {head.WEIGHT, head.BIAS}

    def loss_at(weights: Params) -> torch.Tensor:
        if head_alone:
            return _loss(head.logits(weights, features), support)
        return support_loss(network, weights, support)

    # The last state needs its loss alone.
    for number in range(wanted):
        adapting = {name: fast[name] for name in initialization.step_sizes}
        resting = {name: tensor for name, tensor in fast.items() if name not in adapting}
        gradients, loss = torch.func.grad_and_value(
            lambda moved, still=resting: loss_at({**still, **moved})
        )(adapting)
        yield Step(number, fast, loss)
        if not second_order:
            gradients = mapped(torch.Tensor.detach, gradients)
        learned = min(number, inner_loop.steps - 1)
        fast = {
            **fast,
            **{
                name: fast[name]
                - _step_size(name, initialization.step_sizes[name][learned], support) * gradient
                for name, gradient in gradients.items()
            },
        }
    yield Step(wanted, fast, loss_at(fast))


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
    return learned * support.n_way if name in (head.WEIGHT, head.BIAS) else learned
