"""Sessions to bytes and back: JSON for facts, safetensors for tensors. Numbers stay bit-equal."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import fields

from ..checkpoints.tensor_files import decode_tensors, encode_tensors
from ..errors import InvalidInput, Problem
from ..meta.params import copied_channels_last
from .session import KeptSupport, Session, SessionFacts
from .store import Record

COLUMNS = ("id", "tenant", "version", "created_at", "expires_at", "ttl_seconds", "ends_at")
"""Facts that a record has as columns of its own."""


def encode(session: Session, support: KeptSupport | None) -> Record:
    """A session as a store keeps it."""
    return Record(
        **{name: getattr(session, name) for name in COLUMNS},
        facts=_encode_facts(session),
        weights=encode_tensors(session.adapted),
        support=None
        if support is None
        else encode_tensors({"images": support.images, "labels": support.labels}),
    )


def decode_facts(record: Record) -> SessionFacts:
    """What a record tells without its tensors."""
    told = json.loads(record.facts)
    told["labels"], told["image_counts"] = tuple(told["labels"]), tuple(told["image_counts"])
    return SessionFacts(**{name: getattr(record, name) for name in COLUMNS}, **told)


def decode(record: Record) -> Session:
    """The session of a record."""
    return Session(
        **vars(decode_facts(record)), adapted=copied_channels_last(decode_tensors(record.weights))
    )


def decode_support(content: bytes) -> KeptSupport:
    """The support set of a record."""
    tensors = decode_tensors(content)
    return KeptSupport(tensors["images"], tensors["labels"])


def encode_cursor(facts: SessionFacts) -> str:
    """Where a list goes on behind a session."""
    place = json.dumps([facts.created_at, facts.id]).encode()
    return base64.urlsafe_b64encode(place).decode()


def decode_cursor(cursor: str) -> tuple[float, str]:
    """The place that a cursor names. Raises InvalidInput for one that no list has given."""
    try:
        created_at, session_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        return float(created_at), str(session_id).encode("ascii").decode()
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidInput(
            [Problem("bad_cursor", "expected the `next` of a list of sessions", "after")]
        ) from None


def _encode_facts(session: Session) -> bytes:
    told = {
        field.name: getattr(session, field.name)
        for field in fields(SessionFacts)
        if field.name not in COLUMNS
    }
    return json.dumps(told, ensure_ascii=False).encode()
