"""Preprocessing can travel inside an ONNX file: the same numbers from another runtime."""

from __future__ import annotations

import io
import logging
import random
import warnings

import onnxruntime
import pytest
import torch
from inkling.images.decode import decode
from inkling.images.drawing import Drawing
from PIL import Image


class Preprocessing(torch.nn.Module):
    def forward(self, rgba: torch.Tensor) -> torch.Tensor:
        return Drawing()(rgba)


@pytest.fixture(scope="module")
def exported() -> onnxruntime.InferenceSession:
    sides = {
        axis: torch.export.Dim(name, min=8, max=25_000) for axis, name in enumerate(("h", "w"))
    }
    example = torch.randint(0, 255, (105, 105, 4), dtype=torch.uint8)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            Preprocessing().eval(), (example,), dynamo=True, dynamic_shapes=(sides,), verbose=False
        )
    assert program is not None
    return onnxruntime.InferenceSession(program.model_proto.SerializeToString())


def test_two_hundred_images_of_mixed_sizes_agree_in_onnx_runtime(
    exported: onnxruntime.InferenceSession,
    drawings: dict[str, list[bytes]],
    chooser: random.Random,
) -> None:
    contents = [content for drawn in drawings.values() for content in drawn]
    for number in range(200):
        image = Image.open(io.BytesIO(chooser.choice(contents))).convert("L")
        size = (chooser.randint(20, 400), chooser.randint(20, 400))
        resized = image.resize(size, Image.Resampling.BICUBIC)
        if number % 3 == 0:
            resized.putalpha(image.resize(size))
        buffer = io.BytesIO()
        resized.save(buffer, "PNG")
        rgba = decode(buffer.getvalue())
        (found,) = exported.run(None, {exported.get_inputs()[0].name: rgba.numpy()})
        # Ink is 0 to 1. The window's place comes out of sums of 32-bit floats over up to 400
        # pixels, and an edge of ink moves with it.
        difference = (torch.from_numpy(found) - Preprocessing()(rgba)).abs()
        assert float(difference.max()) < 2e-3
        assert float(difference.mean()) < 5e-5
