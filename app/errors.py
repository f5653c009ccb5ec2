"""Every refusal Inkling can make, each carrying its evidence. No HTTP lives here.

A refusal says what was expected and what came. Bugs are not refusals: they stay bare
exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where it is, what kind it is, and a sentence on it.

    ``field`` names the part of the input (a label, an option, a JSON path), ``index`` the
    position among the values of that field counted from 0, or None where there is just one.
    """

    code: str
    message: str
    field: str | None = None
    index: int | None = None

    def __str__(self) -> str:
        where = "" if self.field is None else repr(self.field)
        if where and self.index is not None:
            where += f"[{self.index}]"
        return f"{where}: {self.message}" if where else self.message


class InklingError(Exception):
    """The root of every refusal."""


class MalformedBody(InklingError):
    """A request body that cannot be taken apart: no boundary, cut off, or not JSON."""


class UnsupportedMediaType(InklingError):
    """A request body of a kind that the call does not read."""

    def __init__(self, expected: Sequence[str], received: str | None) -> None:
        self.expected, self.received = tuple(expected), received
        came = f"{received!r}" if received else "no Content-Type at all"
        super().__init__(f"expected a body of {' or '.join(self.expected)}, got {came}")


class UnsupportedCoding(InklingError):
    """A request body that is compressed in a way that is not read."""

    def __init__(self, expected: Sequence[str], received: str) -> None:
        self.expected, self.received = tuple(expected), received
        super().__init__(
            f"expected a body as it is or one of the codings {', '.join(self.expected)}, got "
            f"{received!r}"
        )


class TooLarge(InklingError):
    """A request that is larger than this server accepts."""

    def __init__(self, what: str, limit: int, received: int | None = None) -> None:
        self.what, self.limit, self.received = what, limit, received
        came = "more" if received is None else f"{received:,}"
        super().__init__(f"{what}: at most {limit:,} accepted, got {came}")


class InvalidInput(InklingError):
    """Content that was read but cannot be worked with; lists every problem found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        if not problems:
            raise ValueError("InvalidInput needs at least one problem")
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class BadImage(InklingError):
    """Bytes that are not an image Inkling accepts."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class BadImages(InklingError):
    """Images of one call that cannot be decoded, by their positions in it."""

    def __init__(self, by_position: Mapping[int, BadImage]) -> None:
        self.by_position = dict(by_position)
        super().__init__("; ".join(f"image {n}: {bad}" for n, bad in self.by_position.items()))


class InnerLoopDiverged(InklingError):
    """An inner loop whose loss or fast weights stopped being finite numbers."""

    def __init__(self, step: int, loss: float) -> None:
        self.step, self.loss = step, loss
        super().__init__(f"the inner loop diverged: loss {loss} at step {step}")


class SessionNotFound(InklingError):
    """A session that is unknown, expired or deleted; which of them is not told."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__("no such session: it is unknown, has expired or was deleted")


class SessionChanged(InklingError):
    """A session that is at another version than the one that was worked on."""

    def __init__(self, expected: int, found: int) -> None:
        self.expected, self.found = expected, found
        super().__init__(f"expected version {expected} of the session, found {found}")


class BadSessionFile(InklingError):
    """A file that is to be a session and is damaged, of another kind or not what it says."""


class SupportNotKept(InklingError):
    """A session whose support set was not kept, so that nobody can work on it."""

    def __init__(self) -> None:
        super().__init__(
            "the session does not keep its support set; adapt anew with all images, or with "
            "keep_support"
        )


class SupportImageNotFound(InklingError):
    """A position in a session's support set at which there is no image."""

    def __init__(self, position: int, n_images: int) -> None:
        self.position, self.n_images = position, n_images
        super().__init__(f"expected a position from 0 to {n_images - 1}, got {position}")


class PreconditionFailed(InklingError):
    """A call for a version of a session that is not the current one."""

    def __init__(self, expected: Sequence[str], found: int) -> None:
        self.expected, self.found = tuple(expected), found
        wanted = " or ".join(expected) or "none"
        super().__init__(f"the call is for version {wanted}, the session is at {found}")


class IdempotencyKeyInUse(InklingError):
    """A keyed call that is repeated while it runs."""

    retry_after_seconds = 1.0

    def __init__(self) -> None:
        super().__init__("a call with this Idempotency-Key is still running")


class IdempotencyKeyReused(InklingError):
    """A key that an earlier call with other content had."""

    def __init__(self) -> None:
        super().__init__(
            "an earlier call with this Idempotency-Key had other images, labels or options"
        )


class UnknownApiKey(InklingError):
    """A call without a key of this server, where it asks for one."""

    def __init__(self, sent: bool) -> None:
        self.sent = sent
        came = "one that is not known here" if sent else "none"
        super().__init__(f"expected an API key as Authorization: Bearer KEY, got {came}")


class TooManyKeysTried(InklingError):
    """A call without a good key from where there were many such calls."""

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__("too many calls without a key of this server came from this address")


class ForeignRequest(InklingError):
    """A request that a web page of somebody else made, where nobody is asked for a key."""


class InitializationNotLoaded(InklingError):
    """A session or a call that names an initialization this process has not loaded."""

    def __init__(self, wanted: str, loaded: Sequence[str]) -> None:
        self.wanted, self.loaded = wanted, tuple(loaded)
        super().__init__(f"initialization {wanted!r} is not loaded; loaded: {', '.join(loaded)}")


class NotExportable(InklingError):
    """A session whose network cannot be written as an ONNX file."""

    def __init__(self, initialization: str, reason: str) -> None:
        self.initialization, self.reason = initialization, reason
        super().__init__(
            f"sessions of initialization {initialization!r} cannot be exported to ONNX: {reason}"
        )


class Unavailable(InklingError):
    """Work that this process cannot take on now, and may a little later."""

    def __init__(self, reason: str, retry_after_seconds: float) -> None:
        self.reason, self.retry_after_seconds = reason, retry_after_seconds
        super().__init__(reason)


class TenantLimit(InklingError):
    """A tenant that has as much of something as it may have."""

    def __init__(self, what: str, limit: int, retry_after_seconds: float) -> None:
        self.what, self.limit, self.retry_after_seconds = what, limit, retry_after_seconds
        super().__init__(f"expected at most {limit:,} {what} of a tenant at once, got more")


class DeadlineExceeded(InklingError):
    """Work that was not finished within its time."""

    def __init__(self, what: str, seconds: float) -> None:
        self.what, self.seconds = what, seconds
        super().__init__(f"{what} took longer than {seconds:g} s")


class BadCheckpoint(InklingError):
    """A checkpoint folder that is incomplete, damaged or of another format."""


class BadData(InklingError):
    """A data set that is missing, incomplete or laid out in another way."""


class BadRecipe(InklingError):
    """A training recipe that says something that cannot be done."""


class BadSetting(InklingError):
    """A setting or environment that this process cannot start with."""


class RequestRefused(InklingError):
    """A server's refusal of a client's call, with the problem details it sent.

    ``retry_after`` is in seconds, None where the server does not tell when to ask again.
    """

    def __init__(
        self, status: int, problem: Mapping[str, Any], *, retry_after: float | None = None
    ) -> None:
        self.status, self.problem, self.retry_after = status, problem, retry_after
        listed = "".join(f"\n  {_listed(item)}" for item in problem.get("problems", []))
        detail = "" if listed else f": {problem.get('detail', '')}"
        super().__init__(f"{status} {problem.get('title', 'refused')}{detail}{listed}")

    @property
    def kind(self) -> str | None:
        """The name of the problem, as in `session-not-found`; None if the server tells none."""
        name = str(self.problem.get("type", "")).rpartition("/")[2]
        return name or None


class ServerUnreachable(InklingError):
    """A server that does not answer."""


def _listed(item: Mapping[str, Any]) -> str:
    """One problem of a list, with its place and the name of its file where they are known."""
    place = "" if item.get("index") is None else f"[{item['index']}]"
    source = f" ({item['source']})" if item.get("source") else ""
    return f"{item.get('field', '')}{place}{source}: {item.get('message', '')}"
