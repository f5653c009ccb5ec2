"""Views: copies of the support images, each changed a little.

One drawing of a class shows little of how drawings of it vary. The inner loop therefore adapts to
the support set together with slightly turned, scaled, sheared and shifted copies of it. Each view
changes all images alike, so that neither their order nor their number matters, and the views are a
part of the initialization, so that the same support set gives the same model. An initialization
may have queries classified by the mean of their features over the same views.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

SHAPE = (2, 3)
"""Of an affine matrix: from output to input positions, both axes from -1 to 1."""


def no_views() -> torch.Tensor:
    """`(0, 2, 3)`: the support images alone, as they are."""
    return torch.empty(0, *SHAPE)


def affine(changes: torch.Tensor) -> torch.Tensor:
    """`(view, 6)` changes to `(view, 2, 3)` affine matrices.

    A change is: radians turned, share scaled, share of aspect, shear, and the shares of half a
    side that it is shifted across and down.
    """
    angle, scaled, aspect_changed, shear, across, down = changes.T
    scale, aspect = 1 + scaled, 1 + aspect_changed
    return torch.stack(
        [
            torch.stack([angle.cos() * scale * aspect, shear - angle.sin() * scale, across], 1),
            torch.stack([angle.sin() * scale, angle.cos() * scale / aspect, down], 1),
        ],
        dim=1,
    )


def draw_views(pairs: int, widest: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw `(2 * pairs, 2, 3)` views: random changes within +-``widest``, and their opposites.

    ``widest`` `(6,)` is a change as `affine` takes it, but in degrees. In opposite pairs the views
    of an image have it in their middle, so that the class means stay where they are.
    """
    changes = (2 * torch.rand((pairs, 6), generator=generator) - 1) * widest
    changes[:, 0] *= math.pi / 180
    return affine(torch.stack([changes, -changes], dim=1).flatten(0, 1))


def with_views(images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """`(image, channel, height, width)` to `(image, 1 + view, channel, height, width)`.

    Each image comes first, its views behind it. What moves in from outside repeats the nearest
    edge.
    """
    return with_views_at(images, sampling_grid(views, images))


def sampling_grid(views: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """`(view, height, width, 2)`: where views sample images of this size and type."""
    shape = [views.shape[0], *images.shape[1:]]
    if not views.shape[0]:
        return views.new_empty(0, *shape[2:], 2)
    return functional.affine_grid(views.to(images), shape, align_corners=False)


def with_views_at(images: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """`with_views` of views whose `sampling_grid` is known."""
    n_images, n_views = images.shape[0], grid.shape[0]
    if not n_views:
        return images.unsqueeze(1)
    changed = functional.grid_sample(
        images.unsqueeze(1).expand(-1, n_views, -1, -1, -1).flatten(0, 1),
        grid.repeat(n_images, 1, 1, 1),
        padding_mode="border",
        align_corners=False,
    )
    return torch.cat(
        [images.unsqueeze(1), changed.reshape(n_images, n_views, *images.shape[1:])], dim=1
    )
