"""The inner loop of Conv4 by one thread, as one call.

Called pass by pass, a loop would ask for the GIL some eighteen times; with calls of many clients
at once each of these waits for the threads that parse and answer.
"""

from __future__ import annotations

import numpy as np

from . import conv4, head
from .conv4 import Constants, Tape, Weights
from .head import Head, HeadSettings
from .jit import Floats, compiled


@compiled
def of_blocks(
    images: Floats,
    constants: tuple[Constants, ...],
    settings: HeadSettings,
    weights: tuple[Weights, ...],
    tapes: tuple[Tape, ...],
    classifier: Head,
    out_features: Floats,
    out_losses: Floats,
) -> None:
    """Take a step for each loss but the last.

    Reads ``images`` `(row, height, width * inputs)`, all rows in one shard, constants and
    settings; writes weights and head as they end, ``out_features`` `(row, feature)` and
    ``out_losses`` `(steps + 1,)`.
    """
    d_features = np.empty_like(out_features)
    last = len(out_losses) - 1
    for number in range(last + 1):
        conv4.forward(images, weights, tapes, out_features)
        out_losses[number] = head.loss_and_gradients(
            out_features,
            settings.labels,
            settings.shares,
            settings.start,
            settings.scale,
            classifier,
            d_features,
        )
        if number < last:
            # Steps beyond the learned ones take the sizes of the last of these.
            learned = min(number, len(settings.sizes) - 1)
            conv4.backward(images, weights, d_features, tapes)
            for block in range(len(weights)):
                conv4.step(constants[block], tapes[block], learned, weights[block])
            head.step(settings.sizes[learned], classifier)
