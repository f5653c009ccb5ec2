"""Sessions to keep, and a clock to age them by."""

from __future__ import annotations

import torch
from inkling.images.fingerprints import unknown
from inkling.kernels.fingerprint import LENGTH
from inkling.sessions.session import (
    IdempotencyKey,
    KeptAnswer,
    KeptSupport,
    Session,
    new_session_id,
)


class Clock:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def a_session(
    clock: Clock, ttl: float = 60, lifetime: float = 150, tenant: str = "", seed: int = 0
) -> Session:
    generator = torch.Generator().manual_seed(seed)
    return Session(
        id=new_session_id(),
        tenant=tenant,
        identity="0" * 64,
        labels=("a", "ž b"),
        image_counts=(1, 2),
        steps=5,
        version=1,
        keeps_support=True,
        created_at=clock.now,
        ttl_seconds=ttl,
        expires_at=clock.now + ttl,
        ends_at=clock.now + lifetime,
        adapted={"head.weight": torch.randn((2, 64), generator=generator)},
    )


def a_support(seed: int = 0) -> KeptSupport:
    generator = torch.Generator().manual_seed(1000 + seed)
    images = torch.randn((3, 1, 28, 28), generator=generator)
    fingerprints = torch.randint(-127, 128, (3, LENGTH), generator=generator, dtype=torch.int8)
    return KeptSupport(images, torch.tensor([0, 1, 1]), fingerprints)


def a_large_support(n_bytes: int) -> KeptSupport:
    """One image of so many bytes."""
    return KeptSupport(torch.randn(1, n_bytes // 4), torch.tensor([0]), unknown(1))


def an_answer(session: Session, clock: Clock, key: str = "k", tenant: str = "") -> KeptAnswer:
    return KeptAnswer(
        key=IdempotencyKey(tenant, "POST /adapt", key),
        digest="d" * 64,
        session_id=session.id,
        status=201,
        content=b'{"session": "' + session.id.encode() + b'"}',
        created_at=clock.now,
    )


def same(one: Session, other: Session) -> bool:
    """Tell whether two sessions are bit-equal."""
    tensors = one.adapted.keys() == other.adapted.keys() and all(
        torch.equal(one.adapted[name], other.adapted[name]) for name in one.adapted
    )
    facts = [{k: v for k, v in vars(each).items() if k != "adapted"} for each in (one, other)]
    return tensors and facts[0] == facts[1]
