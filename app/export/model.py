"""One ONNX file with all that classifies by a session; see `onnx_model`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from ..checkpoints.checkpoint import Checkpoint
from ..meta.params import Params
from .golden import Golden
from .graph import graph_of
from .program import COUNTS, IMAGE, NONE_OF_THESE, PROBABILITIES, VIEWS

DECODING = (
    "`image` is uint8 RGBA, (batch, height, width, 4), images of one size: upright as EXIF's or "
    "XMP's orientation says, in sRGB, sixteen-bit grey divided by 257, the first frame of an "
    "animation, and averaged down by a whole factor where a side has more than 2048 pixels. A "
    "JPEG is decoded at a half, quarter or eighth of its size where its shorter side keeps "
    "`useful_side` pixels. Inkling's app/export/classify.py does it with Pillow."
)
FEW = 64
"""Numbers of a tensor that are not worth half precision."""


def onnx_model(
    checkpoint: Checkpoint,
    adapted: Params,
    labels: Sequence[str],
    image_counts: Sequence[int],
    n_views: int | None = None,
    golden: Sequence[Golden] = (),
) -> bytes:
    """An ONNX file from uint8 RGBA of any size to `probabilities`, by the order of ``labels``.

    Beside them it gives `none_of_these`, where the initialization is calibrated: 1 is the limit.
    ``adapted`` is what a session has of its own, ``image_counts`` its images of each class and
    ``n_views`` the views it looks at, the image among them; None takes the initialization's own.
    ``golden`` are kept in the file. Raises NotExportable for a network that ONNX cannot express.
    """
    views = _views(checkpoint, n_views)
    model = onnx.load_from_string(graph_for(checkpoint, n_views))
    tensors = {
        **checkpoint.initialization.params,
        **adapted,
        VIEWS: views,
        COUNTS: torch.tensor(image_counts, dtype=torch.float32),
    }
    _put_in(model.graph, tensors)
    _declare(model.graph, len(labels))
    model.producer_name, model.producer_version = "inkling", version("inkling")
    model.doc_string = f"A few-shot classifier of {len(labels)} classes, from {checkpoint.name}."
    helper.set_model_props(model, _metadata(checkpoint, labels, golden))
    return bytes(model.SerializeToString())


def graph_for(checkpoint: Checkpoint, n_views: int | None = None) -> bytes:
    """The graph that `onnx_model` fills. Raises NotExportable."""
    return graph_of(checkpoint, has_views=bool(len(_views(checkpoint, n_views))))


def _views(checkpoint: Checkpoint, n_views: int | None) -> torch.Tensor:
    """`(view, 2, 3)` that queries are classified over, beside the image itself."""
    initialization = checkpoint.initialization
    if not initialization.inner_loop.query_views:
        return initialization.views[:0]
    if n_views is None:
        return initialization.views
    return torch.cat([initialization.views, checkpoint.further_views])[: n_views - 1]


def _put_in(graph: onnx.GraphProto, tensors: Params) -> None:
    """Make every input but the image a constant of the file."""
    names = [each.name for each in graph.input if each.name != IMAGE]
    images = [each for each in graph.input if each.name == IMAGE]
    del graph.input[:]
    graph.input.extend(images)
    casts = []
    for name in names:
        values = tensors[name].detach().cpu().contiguous().to(torch.float32).numpy()
        # Weights that are stored in half precision stay so; what is computed with is the same.
        half = values.astype(np.float16) if values.size > FEW else None
        if half is not None and np.array_equal(half.astype(np.float32), values):
            stored = f"{name}.half"
            graph.initializer.append(numpy_helper.from_array(half, stored))
            casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
        else:
            graph.initializer.append(numpy_helper.from_array(values, name))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _declare(graph: onnx.GraphProto, n_way: int) -> None:
    """Say what goes in and comes out: the exporter has names of its own for sizes."""
    graph.name = "inkling"
    shapes: dict[str, list[str | int | None]] = {
        IMAGE: ["batch", "height", "width", 4],
        PROBABILITIES: ["batch", n_way],
        NONE_OF_THESE: ["batch"],
    }
    for each in (*graph.input, *graph.output):
        kind = TensorProto.UINT8 if each.name == IMAGE else TensorProto.FLOAT
        each.CopyFrom(helper.make_tensor_value_info(each.name, kind, shapes[each.name]))


def _metadata(
    checkpoint: Checkpoint, labels: Sequence[str], golden: Sequence[Golden]
) -> dict[str, str]:
    config, useful = checkpoint.config, checkpoint.preprocessing.useful_side
    told: dict[str, Any] = {
        "labels": list(labels),
        "initialization": {"name": checkpoint.name, "identity": checkpoint.identity},
        "picture": config.preprocessing.name,
        "decoding": DECODING,
        "useful_side": useful,
        "calibrated": config.calibration is not None,
        "licence": config.provenance.licence,
        "golden": [each.told() for each in golden],
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in told.items()}
