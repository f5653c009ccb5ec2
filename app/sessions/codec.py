"""Sessions to bytes and back: facts as JSON, tensors as safetensors. Numbers stay bit-equal."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import fields

from ..checkpoints.tensor_files import decode_tensors, encode_tensors
from ..errors import InvalidInput, Problem
from ..images.fingerprints import unknown
from ..meta.params import copied_channels_last
from .session import KeptSupport, Session, SessionFacts
from .store import COLUMNS, Record


def encode(session: Session, support: KeptSupport | None) -> Record:
    """The record of a session."""
    return Record(
        **{name: getattr(session, name) for name in COLUMNS},
        facts=_encode_facts(session),
        weights=encode_tensors(session.adapted),
        support=None if support is None else encode_tensors(vars(support)),
    )


def decode_facts(record: Record) -> SessionFacts:
    """The facts of a record, without its tensors."""
    facts = json.loads(record.facts)
    facts["labels"], facts["image_counts"] = tuple(facts["labels"]), tuple(facts["image_counts"])
    return SessionFacts(**{name: getattr(record, name) for name in COLUMNS}, **facts)


def decode(record: Record) -> Session:
    """The session of a record."""
    return Session(
        **vars(decode_facts(record)), adapted=copied_channels_last(decode_tensors(record.weights))
    )


def decode_support(content: bytes) -> KeptSupport:
    """The support set of the bytes that a record keeps."""
    tensors = decode_tensors(content)
    images = tensors["images"]
    # An older version has taken none.
    fingerprints = tensors.get("fingerprints", unknown(len(images)))
    return KeptSupport(images, tensors["labels"], fingerprints)


def encode_cursor(facts: SessionFacts) -> str:
    """The cursor behind a session, from which a list continues."""
    content = json.dumps([facts.created_at, facts.id]).encode()
    return base64.urlsafe_b64encode(content).decode()


def decode_cursor(cursor: str) -> tuple[float, str]:
    """Creation time and id that a cursor names. Raises InvalidInput where no list has given it."""
    try:
        created_at, session_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        return float(created_at), str(session_id).encode("ascii").decode()
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidInput(
            [Problem("bad_cursor", "expected the `next` of a list of sessions", "after")]
        ) from None


def _encode_facts(session: Session) -> bytes:
    facts = {
        field.name: getattr(session, field.name)
        for field in fields(SessionFacts)
        if field.name not in COLUMNS
    }
    return json.dumps(facts, ensure_ascii=False).encode()
