"""Traces a `Program` to ONNX: `python -m inkling.export.trace`, JSON in, an ONNX graph out.

A process of its own, since a trace takes tens of seconds of Python, hundreds of megabytes, and
settings that threads share. What comes out holds no weights. It is checked against the definition
on images of several sizes and numbers; where it does not agree, nothing comes out.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from ..checkpoints.config import InnerLoopConfig, build_network, build_preprocessing
from ..checkpoints.strict import Named
from ..meta.head import BIAS, SCALE, WEIGHT
from ..meta.inner_loop import Initialization
from ..meta.scores import Scoring
from .program import COUNTS, IMAGE, VIEWS, Parts, Program

WAY, SCALE_OF_HEAD = 3, 10.0
DYNAMIC = torch.export.Dim.DYNAMIC
TOLERANCE = 1e-3
"""Of probabilities, in the check: those of random weights and noise, which no rounding spares."""
CHECKED = ((1, 2, 1, 24, 60), (3, 5, 2, 75, 31))
"""Images, classes, views beside the image, height and width."""


def parts_of(described: dict[str, Any]) -> Parts:
    """The parts of a prediction with random weights, from what `graph.described` tells of them."""
    network = build_network(Named.model_validate(described["network"]), "trace")
    inner_loop = InnerLoopConfig.model_validate(described["inner_loop"]).inner_loop()
    params = {
        **network.initialize(torch.Generator().manual_seed(0)),
        SCALE: torch.tensor(SCALE_OF_HEAD),
    }
    return Parts(
        network,
        build_preprocessing(Named.model_validate(described["preprocessing"]), "trace"),
        # Of step sizes the names alone count: they tell which parts are frozen.
        Initialization(params, dict.fromkeys(described["adapts"], torch.empty(0)), inner_loop),
        Scoring(described["scale"], described["temperature"], described["limit"]),
        described["has_views"],
    )


def traced(parts: Parts) -> bytes:
    """An ONNX graph of a prediction whose inputs are those of `Program`, by name."""
    image, tensors, views, counts = _arguments(parts, 3, WAY, 3, 70, 90)
    by_way = [{0: DYNAMIC} if name in (WEIGHT, BIAS) else {} for name in parts.names()]
    program = torch.export.export(
        Program(parts).eval(),
        (image, tensors, views, counts),
        dynamic_shapes=(
            {0: DYNAMIC, 1: DYNAMIC, 2: DYNAMIC},
            by_way,
            None if views is None else {0: DYNAMIC},
            None if counts is None else {0: DYNAMIC},
        ),
        strict=False,
    )
    names = [IMAGE, *parts.names()]
    names += [] if views is None else [VIEWS]
    names += [] if counts is None else [COUNTS]
    exported = torch.onnx.export(
        program,
        input_names=names,
        output_names=parts.outputs(),
        dynamo=True,
        verbose=False,
    )
    if exported is None:
        raise RuntimeError("the exporter gave no graph")
    return bytes(_plain(exported.model_proto).SerializeToString())


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without what the exporter noted about its sources."""
    graph = model.graph
    del graph.value_info[:]
    del model.metadata_props[:]
    graph.doc_string = ""
    del graph.metadata_props[:]
    for each in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del each.metadata_props[:]
        each.doc_string = ""
    for function in model.functions:
        del function.metadata_props[:]
        function.doc_string = ""
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""
    return model


@torch.no_grad()
def check(parts: Parts, graph: bytes) -> None:
    """Raise RuntimeError where a graph does not compute what the definition does."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    known = {each.name for each in session.get_inputs()}
    for number, way, n_views, height, width in CHECKED:
        arguments = _arguments(parts, number, way, n_views, height, width)
        image, tensors, views, counts = arguments
        fed = {IMAGE: image, **dict(zip(parts.names(), tensors, strict=True))}
        fed |= {} if views is None else {VIEWS: views}
        fed |= {} if counts is None else {COUNTS: counts}
        found = session.run(
            list(parts.outputs()),
            {name: tensor.numpy() for name, tensor in fed.items() if name in known},
        )
        for name, own, right in zip(
            parts.outputs(), found, Program(parts)(*arguments), strict=True
        ):
            apart = np.abs(own - right.numpy()).max()
            if own.shape != tuple(right.shape) or not apart <= TOLERANCE:
                raise RuntimeError(f"{name} of the graph is {apart:.1e} off the definition")


def _arguments(
    parts: Parts, number: int, way: int, n_views: int, height: int, width: int
) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor | None, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(way)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    image = torch.full((number, height, width, 4), 255, dtype=torch.uint8)
    image[:, height // 4 : height // 2, width // 3 : width // 3 + 3, :3] = 20
    head = {WEIGHT: drawn(way, parts.network.feature_size) / 10, BIAS: drawn(way) / 10}
    params = {**parts.initialization.params, **head}
    return (
        image,
        [params[name] for name in parts.names()],
        torch.eye(2, 3) + drawn(n_views, 2, 3) / 20 if parts.has_views else None,
        None if parts.scoring.limit is None else torch.arange(1.0, way + 1),
    )


def main() -> None:
    """Read what a prediction is made of, and write its graph."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    parts = parts_of(json.load(sys.stdin))
    written = sys.stdout.buffer
    # What libraries print is no part of the graph.
    sys.stdout = sys.stderr
    graph = traced(parts)
    check(parts, graph)
    written.write(graph)


if __name__ == "__main__":
    main()
