"""Named tensors in safetensors files, written so that a crash leaves the old file or the new."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from ..errors import BadCheckpoint


def write_file(path: Path, content: bytes) -> None:
    """Write under a temporary name, flush to the disk, then rename into place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def encode_tensors(
    tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of a safetensors file."""
    plain = {
        name: tensor.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        for name, tensor in sorted(tensors.items())
    }
    return save(plain, dict(metadata or {}))


def decode_tensors(content: bytes) -> dict[str, torch.Tensor]:
    """The tensors of `encode_tensors`. Raises ValueError for anything else."""
    try:
        return load(content)
    except (SafetensorError, KeyError) as broken:
        raise ValueError(f"expected a safetensors file: {broken}") from None


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read all tensors and the metadata of a safetensors file.

    Raises BadCheckpoint when the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (OSError, SafetensorError) as broken:
        raise BadCheckpoint(f"{path}: expected a safetensors file: {broken}") from None
