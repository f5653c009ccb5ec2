"""The frozen parts of a network as ONNX Runtime computes them, an image at a time in one thread.

They are exported from the definition, which takes some seconds, once: what comes of it is kept
beside the machine code of the kernels. A batch of images takes no less time an image than one
alone, and threads that are free take images of their own.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from .. import networks
from ..checkpoints.tensor_files import write_file
from ..errors import BadCheckpoint
from ..kernels.cache import kept_folder
from ..meta.network import Network
from ..meta.params import Params

IMAGE, HIDDEN = "image", "hidden"
log = logging.getLogger("inkling")
TOLERANCE = 1e-3
"""By which what was exported may differ from the definition, of the largest number it gives."""


class CompiledTrunk:
    """The parts before ``stop`` of a network with its parameters, for any number of threads."""

    def __init__(self, network: Network, params: Params, stop: int) -> None:
        """Raise BadCheckpoint where what was exported does not compute what the network does."""
        self._network, self._params, self._stop = network, params, stop
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = self._opened(options)
        self._check()

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """`(1, channel, height, width)` to `(1, ...)`, what the parts make of it."""
        outputs = self._session.run([HIDDEN], {IMAGE: image.contiguous().numpy()})
        return torch.from_numpy(outputs[0])

    def _opened(self, options: onnxruntime.SessionOptions) -> Any:
        """The session, of the file that is kept where it is one."""
        folder = kept_folder()
        path = None if folder is None else folder / f"trunk-{self._digest()}.onnx"
        if path is not None and path.exists():
            try:
                return _session(path.read_bytes(), options)
            except onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf:
                log.warning("%s is damaged: it is made anew", path)
        content = self._export()
        if path is not None:
            write_file(path, content)
        return _session(content, options)

    @torch.no_grad()
    def _export(self) -> bytes:
        log.info("exporting a trunk to ONNX, which takes some seconds, once")
        image = torch.zeros(1, *self._network.input_shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Parts(self._network, self._params, self._stop).eval(),
                (image,),
                input_names=[IMAGE],
                output_names=[HIDDEN],
                dynamo=True,
                verbose=False,
            )
        if program is None:
            raise BadCheckpoint("expected a network that ONNX can express")
        return bytes(program.model_proto.SerializeToString())

    def _digest(self) -> str:
        """A name for all that the export depends on."""
        digest = hashlib.sha256(f"{self._network!r} {self._stop} {torch.__version__}".encode())
        for source in sorted(Path(networks.__file__).parent.glob("*.py")):
            digest.update(source.read_bytes())
        for name, tensor in sorted(self._params.items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    @torch.no_grad()
    def _check(self) -> None:
        shape = (1, *self._network.input_shape)
        image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        expected = self._network.through(self._params, image, 0, self._stop)
        apart = float((self(image) - expected).abs().max() / expected.abs().max())
        if not apart <= TOLERANCE:
            raise BadCheckpoint(
                f"expected ONNX Runtime to compute what the network does, got {apart:.1e} apart"
            )


def _session(content: bytes, options: onnxruntime.SessionOptions) -> Any:
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class _Parts(torch.nn.Module):
    """The first parts of a network as a module, which is what can be exported."""

    def __init__(self, network: Network, params: Params, stop: int) -> None:
        super().__init__()
        self._network, self._params, self._stop = network, params, stop

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self._network.through(self._params, image, 0, self._stop)
