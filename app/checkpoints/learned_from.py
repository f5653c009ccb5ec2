"""Which classes and files a checkpoint learned from, so that it is never tested on these.

`learned_from.safetensors` lies beside `config.json`, which has its sha256. It holds the first bytes
of sha256 digests: of the contents of files, and of the names of classes. No answer depends on it,
and a server does not read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..data.sources import ClassFiles
from ..errors import BadCheckpoint
from .config import Config
from .tensor_files import encode_tensors, read_tensors, write_file

LEARNED_FROM_FILE = "learned_from.safetensors"
DIGEST_BYTES = 8
MOST_BYTES = 128 << 20
"""Of the file: 16 million images."""
WHOLE = "whole"


@dataclass(frozen=True)
class Known:
    """Classes by their names and files by their contents, as digests."""

    classes: frozenset[bytes] = frozenset()
    files: frozenset[bytes] = frozenset()

    @staticmethod
    def of(read: Iterable[ClassFiles]) -> Known:
        """Some classes and all of their files."""
        listed = list(read)
        return Known(
            frozenset(_of_name(each.name) for each in listed),
            frozenset(digest[:DIGEST_BYTES] for each in listed for digest in each.digests),
        )

    def __or__(self, more: Known) -> Known:
        """These and more of them."""
        return Known(self.classes | more.classes, self.files | more.files)

    def files_of(self, read: ClassFiles) -> list[int]:
        """The positions of those files of a class that are known."""
        return [i for i, digest in enumerate(read.digests) if digest[:DIGEST_BYTES] in self.files]

    def has(self, read: ClassFiles) -> bool:
        """Tell whether a class is known, by its name or by any of its files."""
        return _of_name(read.name) in self.classes or bool(self.files_of(read))


@dataclass(frozen=True)
class LearnedFrom:
    """What weights were ``trained`` on, and what settings, states and calibration are chosen by.

    ``whole`` is False where the weights learned from more, whose files are not known.
    """

    trained: Known = Known()
    chosen_by: Known = Known()
    whole: bool = True

    def __or__(self, more: LearnedFrom) -> LearnedFrom:
        """What two checkpoints together learned from."""
        return LearnedFrom(
            self.trained | more.trained,
            self.chosen_by | more.chosen_by,
            self.whole and more.whole,
        )

    def trained_on(self, read: Iterable[ClassFiles]) -> LearnedFrom:
        """The same, having learned from more classes."""
        return replace(self, trained=self.trained | Known.of(read))

    def chosen_on(self, read: Iterable[ClassFiles]) -> LearnedFrom:
        """The same, having been chosen or calibrated by more classes than it trained on."""
        more, trained = Known.of(read), self.trained
        rest = Known(more.classes - trained.classes, more.files - trained.files)
        return replace(self, chosen_by=self.chosen_by | rest)


UNKNOWN = LearnedFrom(whole=False)
"""What a checkpoint learned from that does not tell."""


def read_learned_from(folder: Path, config: Config) -> LearnedFrom | None:
    """What a checkpoint of this config learned from; None for one that does not tell.

    Raises BadCheckpoint when the file is missing, too long, damaged, or not that of the config.
    """
    expected = config.provenance.learned_from_sha256
    if expected is None:
        return None
    path = folder / LEARNED_FROM_FILE
    try:
        if (length := path.stat().st_size) > MOST_BYTES:
            raise BadCheckpoint(f"{path}: expected at most {MOST_BYTES:,} bytes, got {length:,}")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as missing:
        raise BadCheckpoint(
            f"{path}: expected what the checkpoint learned from: {missing}"
        ) from None
    if digest != expected:
        raise BadCheckpoint(f"{path}: expected sha256 {expected}, got {digest}")
    tensors, metadata = read_tensors(path)
    parts = {name: _from_rows(tensors.pop(name, None), f"{path}: {name}") for name in _NAMES}
    if tensors or metadata.keys() != {WHOLE}:
        raise BadCheckpoint(f"{path}: expected {', '.join(_NAMES)} and {WHOLE!r} alone")
    trained, chosen_by = (
        Known(parts[f"{part}.classes"], parts[f"{part}.files"]) for part in ("trained", "chosen_by")
    )
    return LearnedFrom(trained, chosen_by, metadata[WHOLE] == str(True))


def write_learned_from(folder: Path, config: Config, learned: LearnedFrom | None) -> Config:
    """Write the file, or remove it for None, and return the config that tells of it."""
    path, sha256 = folder / LEARNED_FROM_FILE, None
    if learned is None:
        path.unlink(missing_ok=True)
    else:
        content = _encoded(learned)
        write_file(path, content)
        sha256 = hashlib.sha256(content).hexdigest()
    told = config.provenance.model_copy(update={"learned_from_sha256": sha256})
    return config.model_copy(update={"provenance": told})


_NAMES = tuple(
    f"{part}.{kind}" for part in ("trained", "chosen_by") for kind in ("classes", "files")
)


def _encoded(learned: LearnedFrom) -> bytes:
    trained, chosen_by = learned.trained, learned.chosen_by
    parts = (trained.classes, trained.files, chosen_by.classes, chosen_by.files)
    rows = {name: _rows(digests) for name, digests in zip(_NAMES, parts, strict=True)}
    return encode_tensors(rows, {WHOLE: str(learned.whole)})


def _of_name(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:DIGEST_BYTES]


def _rows(digests: frozenset[bytes]) -> torch.Tensor:
    """`(digest, byte)` uint8, sorted."""
    content = bytearray().join(sorted(digests))
    rows = torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0).byte()
    return rows.view(-1, DIGEST_BYTES)


def _from_rows(rows: torch.Tensor | None, where: str) -> frozenset[bytes]:
    expected = f"{where}: expected uint8 (digest, {DIGEST_BYTES}), sorted and different"
    if rows is None or rows.dtype != torch.uint8 or rows.shape[1:] != (DIGEST_BYTES,):
        raise BadCheckpoint(expected)
    content = rows.numpy().tobytes()
    digests = [
        content[begin : begin + DIGEST_BYTES] for begin in range(0, len(content), DIGEST_BYTES)
    ]
    found = frozenset(digests)
    if sorted(found) != digests:
        raise BadCheckpoint(expected)
    return found
