"""Bodies that arrive: how much of them is held in memory, and how long each may take.

Those that are read count apart from calls that are worked on, so that slow ones keep nobody out.
Where there are too many bytes of them, the oldest body of whoever sends the most gives way.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import Message, Receive

from ..errors import DeadlineExceeded, Unavailable

GRACE_SECONDS, LEAST_BYTES_PER_SECOND = 5.0, 1024
"""A body may be so late, and has to arrive at this rate at least."""
RETRY_AFTER_SECONDS = 1.0


class SlowBody(DeadlineExceeded):
    """A body that did not arrive in time."""


@dataclass(frozen=True)
class UploadLimits:
    """Bounds of all bodies together, in bytes, and of the time of each."""

    max_bytes: int
    seconds: float
    idle_seconds: float


class Uploads:
    """The bodies of all calls, those that are whole until their calls end."""

    def __init__(self, limits: UploadLimits) -> None:
        self.limits = limits
        self.n_bytes = 0
        self._arriving: dict[Upload, None] = {}

    def begin(self, sender: str, receive: Receive) -> Upload:
        """A body of a tenant or address, before any of it was read."""
        upload = Upload(self, sender, receive)
        self._arriving[upload] = None
        return upload

    def grow(self, upload: Upload, n_bytes: int) -> None:
        """Count what arrived. Raises Unavailable where nobody else's body can give way."""
        self.n_bytes += n_bytes
        while self.n_bytes > self.limits.max_bytes:
            loser = self._largest_senders_oldest()
            if loser is None or loser is upload:
                raise Unavailable(
                    f"bodies of {self.limits.max_bytes:,} bytes are being read or worked on",
                    RETRY_AFTER_SECONDS,
                )
            self._arriving.pop(loser)
            loser.give_way()

    def whole(self, upload: Upload) -> None:
        """A body has arrived: it no longer gives way."""
        self._arriving.pop(upload, None)

    def forget(self, n_bytes: int) -> None:
        """Bytes that are held no longer."""
        self.n_bytes -= n_bytes

    def _largest_senders_oldest(self) -> Upload | None:
        held: dict[str, int] = {}
        for upload in self._arriving:
            held[upload.sender] = held.get(upload.sender, 0) + upload.n_bytes
        if not held:
            return None
        largest = max(held, key=held.__getitem__)
        return next(u for u in self._arriving if u.sender == largest and u.n_bytes)


class Upload:
    """One body. `receive` stands for that of its request."""

    def __init__(self, uploads: Uploads, sender: str, receive: Receive) -> None:
        self._uploads, self.sender, self._receive = uploads, sender, receive
        self.n_bytes = 0
        self.arrived = False
        self._waiting: asyncio.Timeout | None = None
        self._gave_way = False
        self._began = asyncio.get_running_loop().time()

    async def receive(self) -> Message:
        """The next part of the body. Raises SlowBody and Unavailable."""
        if self.arrived:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline()) as self._waiting:
                message = await self._receive()
        except TimeoutError:
            if self._gave_way:
                raise Unavailable(
                    "bodies that arrive faster took the place of this one", RETRY_AFTER_SECONDS
                ) from None
            waited = asyncio.get_running_loop().time() - self._began
            raise SlowBody("sending the request body", round(waited, 1)) from None
        finally:
            self._waiting = None
        if size := len(message.get("body", b"")):
            self.n_bytes += size
            self._uploads.grow(self, size)
        if not message.get("more_body", False):
            self.arrived = True
            self._uploads.whole(self)
        return message

    def give_way(self) -> None:
        """Refuse this body where it waits for more."""
        self._gave_way = True
        self._release()
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    def end(self) -> None:
        """The call is over."""
        self._uploads.whole(self)
        self._release()

    def _release(self) -> None:
        self._uploads.forget(self.n_bytes)
        self.n_bytes = 0

    def _deadline(self) -> float:
        limits = self._uploads.limits
        now = asyncio.get_running_loop().time()
        at_least_rate = GRACE_SECONDS + self.n_bytes / LEAST_BYTES_PER_SECOND
        return min(now + limits.idle_seconds, self._began + min(limits.seconds, at_least_rate))
