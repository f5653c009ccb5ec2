"""A 3x3 convolution with its 2x2 pooling, forward and backward, in the way that suits its size.

Large maps are convolved by the library's kernel. Small ones, where that kernel's fixed cost
stands above its work, and maps of one channel, which it does not keep channels last, are laid
out as patches and multiplied as matrices; what pooling drops is not computed there at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn import functional

CHANNELS_LAST = torch.channels_last
SMALL_SIDE = 8
"""Up to this side patches were measured faster, with 32 and 64 channels and 1 to 25 images."""
POOL = [2, 2]

_GRADIENTS = """
def by_weight(gradient: Tensor, images: Tensor, weight: Tensor) -> Tensor:
    return torch.ops.aten.convolution_backward(
        gradient, images, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1,
        [False, True, False])[1]

def by_input(gradient: Tensor, images: Tensor, weight: Tensor) -> Tensor:
    return torch.ops.aten.convolution_backward(
        gradient, images, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1,
        [True, False, False])[0]
"""
"""In a language that can be traced: from Python, tracing refuses the list of what is wanted."""
_gradients: Any = torch.jit.CompilationUnit(_GRADIENTS)
_pool = torch.ops.aten.max_pool2d_with_indices.default
_pool_gradient = torch.ops.aten.max_pool2d_with_indices_backward.default
_relu_gradient = torch.ops.aten.threshold_backward.default


class Map(Protocol):
    """How one block convolves. Weights are in the layout that `packed` gives."""

    def packed(self, weight: torch.Tensor) -> torch.Tensor:
        """`(outputs, inputs, 3, 3)` to this map's layout."""
        ...

    def unpacked(self, weight: torch.Tensor) -> torch.Tensor:
        """The inverse of `packed`."""
        ...

    def per_output(self, values: torch.Tensor) -> torch.Tensor:
        """`(outputs,)` values so that they spread over a packed weight."""
        ...

    def output_sums(self, weight: torch.Tensor) -> torch.Tensor:
        """`(outputs,)` sums over a packed weight."""
        ...

    def prepared(self, hidden: torch.Tensor) -> torch.Tensor:
        """What `convolved` and the gradients take in place of `(batch, inputs, side, side)`."""
        ...

    def convolved(self, prepared: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """`(batch, outputs, height, width)`, at least of what pooling keeps."""
        ...

    def pooled(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """`(batch, outputs, side // 2, side // 2)`, convolved and pooled, for no gradient."""
        ...

    def by_weight(
        self, gradient: torch.Tensor, prepared: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        """The gradient by the packed weight, from that by what `convolved` gave."""
        ...

    def by_input(
        self, gradient: torch.Tensor, prepared: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        """The gradient by the block's input, likewise."""
        ...


@dataclass(frozen=True)
class DirectMap:
    """The library's convolution."""

    outputs: int

    def packed(self, weight: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return weight.contiguous(memory_format=CHANNELS_LAST)

    def unpacked(self, weight: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return weight

    def per_output(self, values: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return values.view(-1, 1, 1, 1)

    def output_sums(self, weight: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return weight.sum((1, 2, 3))

    def prepared(self, hidden: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return hidden.contiguous(memory_format=CHANNELS_LAST)

    def convolved(self, prepared: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return torch.conv2d(prepared, weight, None, 1, 1)

    def pooled(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return functional.max_pool2d(self.convolved(self.prepared(hidden), weight), 2)

    def by_weight(
        self, gradient: torch.Tensor, prepared: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        """See `Map`."""
        found: torch.Tensor = _gradients.by_weight(gradient, prepared, weight)
        return found

    def by_input(
        self, gradient: torch.Tensor, prepared: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        """See `Map`."""
        found: torch.Tensor = _gradients.by_input(gradient, prepared, weight)
        return found


@dataclass(frozen=True)
class PatchMap:
    """Matrix products over patches; packed weights are `(outputs, 9 * inputs)`.

    That is how weights lie in memory that are kept channels last.
    """

    inputs: int
    outputs: int
    side: int

    @property
    def kept(self) -> int:
        """The side of what pooling keeps."""
        return self.side // 2 * 2

    def packed(self, weight: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return weight.permute(0, 2, 3, 1).reshape(self.outputs, 9 * self.inputs)

    def unpacked(self, weight: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return weight.view(self.outputs, 3, 3, self.inputs).permute(0, 3, 1, 2)

    def per_output(self, values: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return values.unsqueeze(1)

    def output_sums(self, weight: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return weight.sum(1)

    def prepared(self, hidden: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        return _patches(functional.pad(hidden.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)), self.kept)

    def convolved(self, prepared: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        maps = (prepared @ weight.T).view(-1, self.kept, self.kept, self.outputs)
        return maps.permute(0, 3, 1, 2)

    def pooled(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """See `Map`."""
        if self.inputs > 1:
            return functional.max_pool2d(self.convolved(self.prepared(hidden), weight), 2)
        # The four places of a pooling square apart, so that their maximum runs over whole maps.
        half = self.side // 2
        padded = functional.pad(hidden.squeeze(1), (1, 1, 1, 1))
        rows, (batch, down, across) = padded.shape[0], padded.stride()
        shifted = padded.as_strided(
            (3, 3, 2, 2, rows, half, half),
            (down, across, down, across, batch, 2 * down, 2 * across),
        )
        maps = shifted.reshape(9, 4 * rows * half * half).T @ weight.T
        return maps.view(4, -1, half, half, self.outputs).amax(0).permute(0, 3, 1, 2)

    def by_weight(
        self,
        gradient: torch.Tensor,
        prepared: torch.Tensor,
        weight: torch.Tensor,  # noqa: ARG002
    ) -> torch.Tensor:
        """See `Map`."""
        return gradient.permute(0, 2, 3, 1).reshape(-1, self.outputs).T @ prepared

    def by_input(
        self,
        gradient: torch.Tensor,
        prepared: torch.Tensor,  # noqa: ARG002
        weight: torch.Tensor,
    ) -> torch.Tensor:
        """See `Map`. It is a convolution with the kernel turned half round."""
        turned = weight.view(self.outputs, 9, self.inputs).flip(1).transpose(0, 1)
        beyond = self.side - self.kept + 1
        padded = functional.pad(gradient.permute(0, 2, 3, 1), (0, 0, 1, beyond, 1, beyond))
        products = _patches(padded, self.side) @ turned.reshape(9 * self.outputs, self.inputs)
        shape = (gradient.shape[0], self.side, self.side, self.inputs)
        return products.view(shape).permute(0, 3, 1, 2)


def map_of(inputs: int, outputs: int, side: int) -> Map:
    """The way to convolve ``inputs`` square maps of ``side`` into ``outputs``."""
    if inputs == 1 or side <= SMALL_SIDE:
        return PatchMap(inputs, outputs, side)
    return DirectMap(outputs)


def activated(maps: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pool, add a bias, which pooling lets through, and rectify; with the pooling's indices."""
    pooled, indices = _pool(maps, POOL, POOL)
    return pooled.add_(bias.view(-1, 1, 1)).relu_(), indices


def through_activation(
    gradient: torch.Tensor, active: torch.Tensor, maps: torch.Tensor, indices: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients by the maps and by the bias that `activated` took, from that by its result."""
    rectified = _relu_gradient(gradient, active, 0)
    by_maps = _pool_gradient(rectified, maps, POOL, POOL, [0, 0], [1, 1], False, indices)
    return by_maps, rectified.sum((0, 2, 3))


def _patches(padded: torch.Tensor, kept: int) -> torch.Tensor:
    """`(batch, height, width, channel)` to `(batch * kept * kept, 9 * channel)`."""
    rows, (batch, down, across, channel) = padded.shape[0], padded.stride()
    channels = padded.shape[3]
    if channels == 1:
        # Whole rows of an image lie together, where single numbers would be copied otherwise.
        shifted = padded.as_strided((3, 3, rows, kept, kept), (down, across, batch, down, across))
        return shifted.reshape(9, rows * kept * kept).T
    windows = padded.as_strided(
        (rows, kept, kept, 3, 3, channels), (batch, down, across, down, across, channel)
    )
    return windows.reshape(rows * kept * kept, 9 * channels)
