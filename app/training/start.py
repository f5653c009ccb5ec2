"""From a recipe to what a run starts from: network, preprocessing and initialization."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from ..checkpoints.config import build_network, build_preprocessing
from ..checkpoints.strict import Named
from ..data.episodes import seeded
from ..errors import BadCheckpoint, BadRecipe
from ..images.preprocessing import Preprocessing
from ..meta.head import BIAS, SCALE, WEIGHT
from ..meta.inner_loop import Initialization, InnerLoop
from ..meta.network import Network
from ..meta.params import Params
from ..meta.views import draw_views
from .recipes import Recipe

VIEWS_DRAW = 1
"""Which draw of a recipe's seed the views come from."""
Built = TypeVar("Built")


def recipe_network(recipe: Recipe) -> Network:
    """The network that a recipe names.

    Raises BadRecipe for options it does not have, and for statistics that nothing would learn.
    """
    network: Network = _refusing(build_network, recipe.network)
    if recipe.pretraining is None and network.fixed():
        raise BadRecipe(
            "network.norm: 'stored' statistics are learned by pre-training, "
            "which this recipe leaves out; use norm = 'group' or add [pretraining]"
        )
    return network


def recipe_preprocessing(recipe: Recipe) -> Preprocessing:
    """The preprocessing that a recipe names, with the mean and deviation it states (or none)."""
    return _refusing(build_preprocessing, recipe.preprocessing)


def recipe_inner_loop(recipe: Recipe) -> InnerLoop:
    """The inner loop that a recipe asks for."""
    table = recipe.inner_loop
    return InnerLoop(
        table.steps, table.head_start, table.query_views, table.damping, table.half_features
    )


def fresh_initialization(recipe: Recipe, network: Network) -> Initialization:
    """What a run starts from: random parameters and the recipe's step sizes."""
    params = network.initialize(torch.Generator().manual_seed(recipe.seed))
    return with_fresh_inner_loop(recipe, network, params)


def with_fresh_inner_loop(recipe: Recipe, network: Network, params: Params) -> Initialization:
    """Parameters with the step sizes, head's scale and views that the recipe starts from."""
    table = recipe.inner_loop
    return Initialization(
        params={**params, SCALE: torch.tensor(float(table.head_scale))},
        step_sizes=_step_sizes(recipe, network, params),
        inner_loop=recipe_inner_loop(recipe),
        views=draw_views(
            table.view_pairs,
            torch.tensor(table.view_jitter.widest()),
            seeded(recipe.seed, VIEWS_DRAW),
        ),
    )


def _step_sizes(recipe: Recipe, network: Network, params: Params) -> Params:
    table = recipe.inner_loop
    sizes = {name: torch.full((table.steps,), table.head_step_size) for name in (WEIGHT, BIAS)}
    adapted = {"all": network.parts, "last": network.parts[-1:], "head": ()}[table.adapt]
    for name in sorted(frozenset().union(*adapted) - network.fixed()):
        shape = params[name].shape if table.step_sizes_per == "number" else ()
        sizes[name] = torch.full((table.steps, *shape), table.step_size)
    return sizes


def _refusing(build: Callable[[Named, str], Built], choice: Named) -> Built:
    try:
        return build(choice, "recipe")
    except BadCheckpoint as bad:
        raise BadRecipe(str(bad)) from None
