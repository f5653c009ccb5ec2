"""Inverted residual blocks (MobileNetV2, Sandler et al., CVPR 2018), with squeeze and excitation.

A 1x1 convolution that expands, a depthwise one, and a 1x1 convolution that projects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from .backbone import Activation
from .convolution import Convolve, NormalisedConvolution


@dataclass(frozen=True)
class SqueezeExcitation:
    """Scales each map by what the means of all maps make of it (Hu et al., CVPR 2018).

    Two 1x1 convolutions of the means; the activations are those of MobileNetV3.
    """

    squeeze: NormalisedConvolution
    excite: NormalisedConvolution

    def convolutions(self) -> tuple[NormalisedConvolution, ...]:
        """The convolutions in their order."""
        return self.squeeze, self.excite

    def __call__(self, convolve: Convolve, hidden: torch.Tensor) -> torch.Tensor:
        """`(batch, channel, height, width)` to the same."""
        squeezed = functional.relu(convolve(self.squeeze, hidden.mean((2, 3), keepdim=True)))
        return hidden * functional.hardsigmoid(convolve(self.excite, squeezed))


@dataclass(frozen=True)
class InvertedResidual:
    """An inverted residual block; ``expand`` is None where it does not expand.

    ``excitation`` stands between the depthwise convolution and the projection, if at all.
    """

    expand: NormalisedConvolution | None
    depthwise: NormalisedConvolution
    project: NormalisedConvolution
    activation: Activation
    excitation: SqueezeExcitation | None = None

    def convolutions(self) -> tuple[NormalisedConvolution, ...]:
        """The convolutions in their order."""
        expand = () if self.expand is None else (self.expand,)
        excitation = () if self.excitation is None else self.excitation.convolutions()
        return (*expand, self.depthwise, *excitation, self.project)

    def __call__(self, convolve: Convolve, hidden: torch.Tensor) -> torch.Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height / stride, ...)`."""
        inner = hidden
        if self.expand is not None:
            inner = self.activation(convolve(self.expand, inner))
        inner = self.activation(convolve(self.depthwise, inner))
        if self.excitation is not None:
            inner = self.excitation(convolve, inner)
        inner = convolve(self.project, inner)
        return inner + hidden if inner.shape == hidden.shape else inner


def inverted_residual(
    convolution: Callable[..., NormalisedConvolution],
    name: str,
    channels: tuple[int, int, int],
    size: int,
    stride: int,
    activation: Activation,
    squeezed: int | None = None,
) -> InvertedResidual:
    """Make a block of ``convolution``, which settles how each one normalises and pads.

    ``channels`` are those that come in, those between and those that come out; ``squeezed`` those
    that an excitation squeezes them to.
    """
    inputs, wide, outputs = channels
    return InvertedResidual(
        None if wide == inputs else convolution(f"{name}.expand", inputs, wide, size=1),
        convolution(f"{name}.depthwise", wide, wide, size=size, stride=stride, groups=wide),
        convolution(f"{name}.project", wide, outputs, size=1),
        activation,
        None if squeezed is None else _excitation(name, wide, squeezed),
    )


def _excitation(name: str, wide: int, squeezed: int) -> SqueezeExcitation:
    return SqueezeExcitation(
        NormalisedConvolution(f"{name}.squeeze", wide, squeezed, None, size=1),
        NormalisedConvolution(f"{name}.excite", squeezed, wide, None, size=1),
    )


def rounded(channels: float) -> int:
    """The nearest multiple of 8 that is at least 0.9 times as much."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
