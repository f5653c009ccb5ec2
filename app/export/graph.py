"""The graph of an initialization's predictions: traced once, kept beside the machine code.

It holds no weights: all initializations and sessions of one architecture share it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import onnxscript
import torch

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.tensor_files import write_file
from ..errors import NotExportable
from ..kernels.cache import kept_folder

log = logging.getLogger("inkling")
SOURCES = (
    "export/program.py",
    "export/trace.py",
    *(f"{package}/*.py" for package in ("images", "kernels", "meta", "networks")),
)
"""Sources that a graph depends on."""
TRACE_SECONDS = 300
LIBRARIES = f"onnx {onnx.__version__}, onnxscript {onnxscript.__version__}, torch"
_graphs: dict[str, bytes] = {}
_tracing = threading.Lock()


def graph_of(checkpoint: Checkpoint, *, has_views: bool) -> bytes:
    """The graph, as `trace` makes it, in about half a minute where it is not kept.

    ``has_views`` tells whether queries are classified over views. Raises NotExportable.
    """
    told = json.dumps(described(checkpoint, has_views=has_views), sort_keys=True)
    name = f"export-{_digest(told)}.onnx"
    with _tracing:
        if name not in _graphs:
            _graphs[name] = _kept(name) or _traced(told, name, checkpoint.name)
        return _graphs[name]


def described(checkpoint: Checkpoint, *, has_views: bool) -> dict[str, Any]:
    """All that a graph depends on, but for sources and libraries."""
    functional, scoring = checkpoint.config.functional(), checkpoint.scoring
    return {
        **{key: functional[key] for key in ("network", "preprocessing", "inner_loop")},
        "adapts": sorted(checkpoint.initialization.step_sizes),
        "scale": scoring.scale,
        "temperature": scoring.temperature,
        "limit": scoring.limit,
        "has_views": has_views,
    }


def _digest(told: str) -> str:
    digest = hashlib.sha256(f"{told} {LIBRARIES} {torch.__version__}".encode())
    for pattern in SOURCES:
        for source in sorted(Path(__file__).parent.parent.glob(pattern)):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _kept(name: str) -> bytes | None:
    """The graph that is kept, if it is whole."""
    folder = kept_folder()
    path = None if folder is None else folder / name
    if path is None or not path.exists():
        return None
    content = path.read_bytes()
    try:
        onnxruntime.InferenceSession(content, _quiet(), providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf:
        log.warning("%s is damaged: it is made anew", path)
        return None
    return content


def _traced(told: str, name: str, initialization: str) -> bytes:
    log.info("tracing %s to ONNX, which takes about half a minute, once", initialization)
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", f"{__package__}.trace"],
            input=told.encode(),
            capture_output=True,
            timeout=TRACE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotExportable(initialization, f"not traced within {TRACE_SECONDS} s") from None
    if done.returncode or not done.stdout:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        log.error("%s was not traced to ONNX:\n%s", initialization, "\n".join(lines))
        raise NotExportable(initialization, lines[-1])
    folder = kept_folder()
    if folder is not None:
        write_file(folder / name, done.stdout)
    return done.stdout


def _quiet() -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options
