"""Preprocessing can travel inside an ONNX file: the same numbers from another runtime."""

from __future__ import annotations

import io
import logging
import random
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from inkling.images.decode import decode
from inkling.images.drawing import Drawing
from inkling.images.photograph import Photograph
from PIL import Image

from ..lit import SCENES, photographed
from .levels import assert_same_levels


class Module(torch.nn.Module):
    def __init__(self, preprocessing: Drawing | Photograph) -> None:
        super().__init__()
        self._preprocessing = preprocessing

    def forward(self, rgba: torch.Tensor) -> torch.Tensor:
        return self._preprocessing(rgba)


def exported(preprocessing: Drawing | Photograph) -> onnxruntime.InferenceSession:
    sides = {
        axis: torch.export.Dim(name, min=8, max=25_000) for axis, name in enumerate(("h", "w"))
    }
    example = torch.randint(0, 255, (105, 105, 4), dtype=torch.uint8)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            Module(preprocessing).eval(),
            (example,),
            dynamo=True,
            dynamic_shapes=(sides,),
            optimize=False,  # as ONNX Runtime does it again
            verbose=False,
        )
    assert program is not None
    return onnxruntime.InferenceSession(program.model_proto.SerializeToString())


@pytest.fixture(scope="module")
def drawing_session() -> onnxruntime.InferenceSession:
    return exported(Drawing())


def run(session: onnxruntime.InferenceSession, rgba: torch.Tensor) -> torch.Tensor:
    (found,) = session.run(None, {session.get_inputs()[0].name: rgba.numpy()})
    return torch.from_numpy(found)


def test_forty_drawings_of_mixed_sizes_agree_in_onnx_runtime(
    drawing_session: onnxruntime.InferenceSession,
    drawings: dict[str, list[bytes]],
    chooser: random.Random,
) -> None:
    contents = [content for drawn in drawings.values() for content in drawn]
    for number in range(40):
        image = Image.open(io.BytesIO(chooser.choice(contents))).convert("L")
        size = (chooser.randint(20, 400), chooser.randint(20, 400))
        resized = image.resize(size, Image.Resampling.BICUBIC)
        if number % 3 == 0:
            resized.putalpha(image.resize(size))
        buffer = io.BytesIO()
        resized.save(buffer, "PNG")
        rgba = decode(buffer.getvalue())
        # Ink is 0 to 1. The window's place comes out of sums of 32-bit floats over up to 400
        # pixels, and an edge of ink moves with it.
        difference = (run(drawing_session, rgba) - Drawing()(rgba)).abs()
        assert float(difference.max()) < 2e-3
        assert float(difference.mean()) < 5e-5


def test_drawings_in_uneven_light_agree_in_onnx_runtime(
    drawing_session: onnxruntime.InferenceSession,
    drawings: dict[str, list[bytes]],
    chooser: random.Random,
) -> None:
    generator = np.random.default_rng(0)
    contents = [content for drawn in drawings.values() for content in drawn]
    for scene in SCENES.values():
        for _ in range(2):
            size = (chooser.randint(60, 400), chooser.randint(60, 400))
            drawing = Image.open(io.BytesIO(chooser.choice(contents))).convert("L").resize(size)
            rgba = decode(photographed(drawing, scene, generator))
            difference = (run(drawing_session, rgba) - Drawing()(rgba)).abs()
            assert float(difference.max()) < 2e-3
            assert float(difference.mean()) < 5e-5


@pytest.mark.parametrize(
    "preprocessing",
    [Photograph(), Photograph(224, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))],
    ids=["alike", "by colour"],
)
def test_photographs_of_mixed_sizes_agree_in_onnx_runtime(
    preprocessing: Photograph, photographs: list[bytes], chooser: random.Random
) -> None:
    session = exported(preprocessing)
    for content in photographs * 3:
        image = Image.open(io.BytesIO(content))
        size = (chooser.randint(20, 600), chooser.randint(20, 600))
        buffer = io.BytesIO()
        image.resize(size).save(buffer, "PNG")
        rgba = decode(buffer.getvalue())
        assert_same_levels(run(session, rgba), preprocessing(rgba), preprocessing)
