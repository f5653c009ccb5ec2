"""A session as a file that it can be carried in from one server to another: safetensors.

Tensors are those that differ from the initialization's (`adapted.`) and, where it is kept, the
support set (`support.`). The metadata tell labels, counts, steps and views, and the initialization
that they belong to: its name, its identity and all of its config that answers depend on. The rest
of the weights are the initialization's own; a session is nothing without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, TypeAdapter, ValidationError

from ..checkpoints.strict import Strict, listed
from ..checkpoints.tensor_files import decode_tensors, encode_tensors
from ..errors import BadSessionFile
from ..meta.params import Params, prefixed, unprefixed
from .session import KeptSupport, Session

FORMAT, VERSION = "inkling-session", "1"
ADAPTED, SUPPORT = "adapted.", "support."
MOST_HEADER_BYTES = 1 << 20
LENGTH_BYTES = 8
"""Of the number at the beginning that tells how long the header is."""
Count = Annotated[int, Field(ge=0, le=1 << 31)]


class SessionMetadata(Strict):
    """What a file tells of its session; row ``i`` of the head belongs to ``labels[i]``."""

    labels: list[str]
    image_counts: list[Count]
    steps: Count
    n_views: Count | None


class InitializationMetadata(Strict):
    """The initialization that a file's session was adapted from."""

    name: str
    identity: str
    config: dict[str, Any]


class _Metadata(Strict):
    format: Literal["inkling-session"]
    version: Literal["1"]
    session: str
    initialization: str


@dataclass(frozen=True)
class Portable:
    """A session in a file, as it was found there: nothing but its form is checked."""

    session: SessionMetadata
    initialization: InitializationMetadata
    adapted: Params
    support: Mapping[str, torch.Tensor]


def to_file(
    session: Session, support: KeptSupport | None, name: str, config: Mapping[str, Any]
) -> bytes:
    """A session as a file; ``name`` and ``config`` are those of its initialization."""
    told = SessionMetadata(
        labels=list(session.labels),
        image_counts=list(session.image_counts),
        steps=session.steps,
        n_views=session.n_views,
    )
    made_from = InitializationMetadata(name=name, identity=session.identity, config=dict(config))
    metadata = _Metadata(
        format="inkling-session",
        version="1",
        session=told.model_dump_json(),
        initialization=made_from.model_dump_json(),
    )
    kept = {} if support is None else vars(support)
    tensors = {**prefixed(ADAPTED, session.adapted), **prefixed(SUPPORT, kept)}
    return encode_tensors(tensors, metadata.model_dump())


def from_file(content: bytes) -> Portable:
    """The inverse of `to_file`. Raises BadSessionFile."""
    try:
        metadata = _Metadata.model_validate(_header(content).get("__metadata__", {}))
        session = SessionMetadata.model_validate_json(metadata.session, strict=True)
        made_from = InitializationMetadata.model_validate_json(metadata.initialization, strict=True)
        tensors = decode_tensors(content)
    except ValidationError as invalid:
        raise BadSessionFile(
            f"expected the file of a session of format {VERSION}: {listed(invalid, 'metadata')}"
        ) from None
    except ValueError as broken:
        raise BadSessionFile(str(broken)) from None
    adapted, support = unprefixed(ADAPTED, tensors), unprefixed(SUPPORT, tensors)
    if others := len(tensors) - len(adapted) - len(support):
        raise BadSessionFile(
            f"expected tensors under {ADAPTED} and {SUPPORT} alone, got {others} others"
        )
    return Portable(session, made_from, adapted, support)


def _header(content: bytes) -> dict[str, Any]:
    """The JSON that a safetensors file begins with. Raises BadSessionFile."""
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if len(content) < LENGTH_BYTES or length > len(content) - LENGTH_BYTES:
        raise BadSessionFile("expected a safetensors file, got something else")
    if length > MOST_HEADER_BYTES:
        raise BadSessionFile(f"expected a header of at most {MOST_HEADER_BYTES:,} bytes")
    try:
        header = json.loads(content[LENGTH_BYTES : LENGTH_BYTES + length])
        return TypeAdapter(dict[str, Any]).validate_python(header)
    except (ValueError, RecursionError):
        raise BadSessionFile("expected a safetensors file, got one without a header") from None
