"""EfficientNet-Lite, a backbone for photographs: no squeeze and excitation, ReLU6 throughout.

(EfficientNet, Tan and Le, ICML 2019, table 1; the Lite variants keep stem, first and last stage
and the final convolution at the width and depth of Lite0.) Its published weights pad as TensorFlow
does and normalise with an epsilon of 1e-3.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

from torch.nn import functional

from .backbone import Activated, Backbone, Layer, check_image_size
from .convolution import NormalisedConvolution
from .inverted_residual import InvertedResidual, inverted_residual, rounded

Variant = Literal[0, 1, 2]

SCALES: dict[Variant, tuple[float, float, int]] = {
    0: (1.0, 1.0, 224),
    1: (1.0, 1.1, 240),
    2: (1.1, 1.2, 260),
}
"""Width and depth as multiples of Lite0's, and the side of the images of its pre-training."""
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of each stage: blocks, side of the depthwise kernel, stride, expansion and output channels."""
STEM, LAST = 32, 1280
EPSILON = 1e-3


@dataclass(frozen=True)
class EfficientNetLite(Backbone):
    """EfficientNet-Lite0, 1 or 2 over colour images of side ``image_size``, 32 or more."""

    variant: Variant = 0
    image_size: int = 224

    def __post_init__(self) -> None:
        """Raise ValueError for a variant that there is not, or too small an image."""
        if self.variant not in SCALES:
            raise ValueError(f"variant: expected one of {sorted(SCALES)}, got {self.variant}")
        check_image_size(self.image_size)

    def trunk(self) -> tuple[Layer, ...]:
        """The stem, the blocks, and the convolution behind them."""
        relu6 = functional.relu6
        return (Activated(self.stem(), relu6), *self.blocks(), Activated(self.last(), relu6))

    def stem(self) -> NormalisedConvolution:
        """The first convolution, which halves height and width."""
        return NormalisedConvolution("stem", 3, STEM, "stored", stride=2, epsilon=EPSILON)

    def blocks(self) -> tuple[InvertedResidual, ...]:
        """The blocks from the stem on, called `block1` and so on."""
        width, depth, _ = SCALES[self.variant]
        convolution = functools.partial(NormalisedConvolution, norm="stored", epsilon=EPSILON)
        blocks: list[InvertedResidual] = []
        inputs = STEM
        for stage, (repeats, size, stride, expansion, channels) in enumerate(STAGES):
            scaled = stage not in (0, len(STAGES) - 1)
            outputs = rounded(channels * width)
            for repeat in range(math.ceil(repeats * depth) if scaled else repeats):
                block = inverted_residual(
                    convolution,
                    f"block{len(blocks) + 1}",
                    (inputs, inputs * expansion, outputs),
                    size,
                    stride if repeat == 0 else 1,
                    functional.relu6,
                )
                blocks.append(block)
                inputs = outputs
        return tuple(blocks)

    def last(self) -> NormalisedConvolution:
        """The 1x1 convolution behind the blocks."""
        inputs = self.blocks()[-1].project.outputs
        return NormalisedConvolution("last", inputs, LAST, "stored", size=1, epsilon=EPSILON)
