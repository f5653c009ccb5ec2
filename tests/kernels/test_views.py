"""Images seen in views are those of `meta.views`, in every channel."""

from __future__ import annotations

import pytest
import torch
from inkling.engine.conv4_blocks import Views
from inkling.meta.views import draw_views, sampling_grid, with_views


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pairs", [0, 2])
def test_views_are_those_of_the_definition(channels: int, pairs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    views = draw_views(pairs, torch.full((6,), 0.2), generator)
    images = torch.rand(3, channels, 9, 9, generator=generator)
    seen = torch.from_numpy(Views(sampling_grid(views, images))(images)).permute(0, 3, 1, 2)
    torch.testing.assert_close(seen, with_views(images, views).flatten(0, 1), rtol=0, atol=1e-5)
