"""Calls that may be repeated: by their key, the answer that an earlier one got."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import IdempotencyKeyReused, Problem, SessionNotFound
from ..sessions.session import IdempotencyKey, KeptAnswer
from .service import Service
from .values import AdaptOptions, Keyed, Replayed, SentImage


@dataclass(frozen=True)
class Repeatable:
    """A call under its key, with its digest, and the answer that an earlier one got."""

    key: IdempotencyKey
    keyed: Keyed[Any]
    digest: str
    earlier: Replayed | None

    def answer(self, session_id: str, content: bytes, now: float) -> KeptAnswer:
        """The answer to this call, for its repetitions."""
        return KeptAnswer(self.key, self.digest, session_id, self.keyed.status, content, now)


@contextlib.asynccontextmanager
async def repeatable(
    service: Service,
    keyed: Keyed[Any] | None,
    tenant: str,
    problems: Sequence[Problem],
    digest_of_call: Callable[[], str],
) -> AsyncIterator[Repeatable | None]:
    """Hold the key of a call, if it has one, and look for the answer that an earlier one got.

    ``digest_of_call`` takes its time. A call that is refused anyway is no repetition of one that
    was answered. Raises what `InFlightKeys.held` does, and SessionNotFound where the earlier
    answer's session is gone.
    """
    if keyed is None or problems:
        yield None
        return
    loop = asyncio.get_running_loop()
    # Off the event loop: a call has up to megabytes.
    digest = await loop.run_in_executor(None, digest_of_call)
    key = IdempotencyKey(tenant, keyed.route, keyed.key)
    async with service.in_flight.held(key, digest):
        kept = await service.storage.kept_answer(key)
        if kept is not None and kept.digest != digest:
            raise IdempotencyKeyReused
        earlier = None
        if kept is not None:
            await service.storage.read(kept.session_id, tenant)
            if kept.content is None:
                raise SessionNotFound(kept.session_id)
            earlier = Replayed(kept.status, kept.content)
        yield Repeatable(key, keyed, digest, earlier)


def digest_of(images: Sequence[SentImage], labels: Sequence[str], options: AdaptOptions) -> str:
    """A sha256 over what a call asks for: options, labels and the bytes of the images."""
    asked = [
        asdict(options),
        [
            [label, hashlib.sha256(image.content).hexdigest()]
            for label, image in zip(labels, images, strict=True)
        ],
    ]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
