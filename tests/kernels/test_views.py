"""Images seen in views are those of `meta.views`, in every channel."""

from __future__ import annotations

import pytest
import torch
from inkling.engine.conv4_blocks import FirstBlock, Views
from inkling.meta.views import draw_views, sampling_grid, with_views
from inkling.networks.conv4 import Conv4

from tests.networks.parameters import drawn


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pairs", [0, 2])
def test_views_are_those_of_the_definition(channels: int, pairs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    views = draw_views(pairs, torch.full((6,), 0.2), generator)
    images = torch.rand(3, channels, 9, 9, generator=generator)
    seen = torch.from_numpy(Views(sampling_grid(views, images))(images)).permute(0, 3, 1, 2)
    torch.testing.assert_close(seen, with_views(images, views).flatten(0, 1), rtol=0, atol=1e-5)


def test_a_frozen_first_block_over_views_is_that_of_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    views = draw_views(2, torch.full((6,), 0.2), generator)
    network = Conv4(channels=8)
    params = drawn(network)
    images = torch.rand(3, 1, 28, 28, generator=generator)
    first = FirstBlock(sampling_grid(views, images), network.convolutions()[0], params)
    pooled = torch.from_numpy(first(images)).permute(0, 3, 1, 2)
    expected = network.through(params, with_views(images, views).flatten(0, 1), 0, 1)
    torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-5)
