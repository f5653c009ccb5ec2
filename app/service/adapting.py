"""Making and growing sessions: from images to what is stored and told."""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..engine.engine import Engine
from ..engine.workers import Kind
from ..errors import (
    DeadlineExceeded,
    IdempotencyKeyReused,
    PreconditionFailed,
    Problem,
    SessionNotFound,
    SupportNotKept,
)
from ..sessions.session import (
    IdempotencyKey,
    KeptAnswer,
    KeptSupport,
    Session,
    new_session_id,
)
from ..sessions.sessions import Clock, Sessions
from .advice import Advice
from .keys import RunningKeys, Turns, digest_of
from .learning import Learned, Learner, Union
from .reading import (
    Read,
    Reader,
    clean_labels,
    is_small,
    small_pixels,
    support_problems,
)
from .registry import Registry
from .values import (
    AdaptCall,
    Adapted,
    AdaptOptions,
    Coming,
    Keyed,
    Limits,
    Replayed,
    Submitted,
)

FEW_IMAGES = 32
"""What a call may hold that is read by the thread that computes."""
CALLS_TOGETHER = 4


@dataclass(frozen=True)
class _UnderKey:
    """A call that may be repeated: its key, digest, and the earlier answer."""

    key: IdempotencyKey | None
    keyed: Keyed | None
    digest: str
    earlier: Replayed | None


@dataclass(frozen=True)
class _Begun:
    """A call to `adapt` before its images are looked at."""

    call: AdaptCall
    checkpoint: Checkpoint
    labels: list[str]
    problems: list[Problem]


@dataclass(frozen=True)
class _Decoded:
    """One of several calls that are done together: its place among them, and its pixels.

    ``held`` lets its key go.
    """

    place: int
    begun: _Begun
    under: _UnderKey
    held: contextlib.ExitStack
    pixels: list[torch.Tensor]
    waited: float


class Adapting:
    """The use cases that adapt."""

    def __init__(
        self,
        loaded: Registry,
        engine: Engine,
        sessions: Sessions,
        reader: Reader,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._loaded, self._engine, self._sessions = loaded, engine, sessions
        self._reader, self._limits, self._clock = reader, limits, clock
        self._learner = Learner(engine, Advice(loaded, reader), limits)
        self._keys, self._turns = RunningKeys(), Turns()
        # One, since a store writes one session at a time.
        self._storing = ThreadPoolExecutor(1, "inkling-storing")
        self._small: Kind[tuple[AdaptCall, float], Coming[Adapted | Replayed]] = Kind(
            "adapting", "small calls to adapt", self._together, most=CALLS_TOGETHER
        )

    def close(self) -> None:
        """Finish what runs beside the engine."""
        self._learner.close()
        self._storing.shutdown()

    def adapt(self, call: AdaptCall) -> Adapted | Replayed:
        """Make a session from a support set: all of it, or nothing and a list of all problems.

        Raises InvalidInput, InnerLoopDiverged, Unavailable, DeadlineExceeded, and for keyed calls
        IdempotencyKeyInUse and IdempotencyKeyReused.
        """
        begun = self._begun(call)
        with self._keyed(call, begun.labels, begun.problems) as under:
            if under.earlier is not None:
                return under.earlier
            deadline = time.monotonic() + self._limits.deadline_seconds
            read = self._reader.read(call.images, begun.checkpoint, begun.problems, deadline)
            union = Union(read.images, call.images, begun.labels)
            learned = self._learner.learn(begun.checkpoint, union, read, call.options, deadline)
            return self._made(begun, learned, read, under)

    def submit(self, call: AdaptCall) -> Submitted[Adapted | Replayed] | None:
        """Have a small call done by the threads that compute, which spares it a thread of its own.

        None where the call may hold others up; the future gives None where only its images tell
        so: those are for `adapt`. Else it gives another one, of the session while it is stored.
        Raises Unavailable.
        """
        small = is_small(call.images, FEW_IMAGES) and not call.options.report
        if not (small and self._engine.reads_as_it_computes):
            return None
        return self._engine.submit(self._small, (call, time.perf_counter()))

    def add(
        self, session_id: str, call: AdaptCall, *, if_match: frozenset[str] | None = None
    ) -> Adapted | Replayed:
        """Add images, of new classes too, to a session that keeps its support set.

        It adapts again from the initialization on all of them. A call that fails leaves the
        session as it was, and calls at the same time take turns, so that none is lost.
        ``if_match`` are the versions that the caller means.

        Raises as `adapt` does, and SessionNotFound, InitializationNotLoaded, SupportNotKept,
        PreconditionFailed.
        """
        options = call.options
        labels, label_problems = clean_labels(call.images)
        deadline = time.monotonic() + self._limits.deadline_seconds
        with (
            self._keyed(call, labels, [*call.problems, *label_problems]) as under,
            self._turns.of(session_id, self._limits.deadline_seconds),
        ):
            if under.earlier is not None:
                return under.earlier
            session = self._sessions.read(session_id, call.tenant)
            if if_match is not None and str(session.version) not in if_match:
                raise PreconditionFailed(sorted(if_match), session.version)
            checkpoint = self._loaded.of(session)
            kept = self._sessions.support_of(session)
            if kept is None or not self._limits.may_keep_support:
                raise SupportNotKept
            before = [session.labels[label] for label in kept.labels.tolist()]
            found = [
                *call.problems,
                *self._option_problems(options, checkpoint),
                *label_problems,
                *support_problems(len(call.images), labels, before, self._limits),
            ]
            read = self._reader.read(call.images, checkpoint, found, deadline)
            union = Union(torch.cat([kept.images, read.images]), call.images, [*before, *labels])
            steps = session.steps if options.steps is None else options.steps
            chosen = replace(options, steps=steps)
            learned = self._learner.learn(checkpoint, union, read, chosen, deadline)
            grown = replace(
                session,
                labels=learned.names,
                image_counts=learned.image_counts(),
                steps=steps,
                adapted=learned.adaptation.adapted,
                version=session.version + 1,
                expires_at=session.used_at(self._clock()),
            )
            return self._stored(learned.told(grown, checkpoint, read), learned, under, new=False)

    def _together(
        self, calls: Sequence[tuple[AdaptCall, float]]
    ) -> list[Coming[Adapted | Replayed] | BaseException]:
        """For each call its session while it is stored, what it raises, or None if not small.

        A disk that is slow to write keeps nobody from computing.
        """
        began, deadline = time.perf_counter(), time.monotonic() + self._limits.deadline_seconds
        results: list[Coming[Adapted | Replayed] | BaseException] = [None] * len(calls)
        ready: dict[tuple[str, int | None], list[_Decoded]] = defaultdict(list)
        with contextlib.ExitStack() as all_held:
            for place, (call, asked) in enumerate(calls):
                held = all_held.enter_context(contextlib.ExitStack())
                try:
                    begun = self._begun(call)
                    under = held.enter_context(self._keyed(call, begun.labels, begun.problems))
                    results[place] = under.earlier
                    if under.earlier is not None:
                        continue
                    decoded = small_pixels(call.images, begun.problems)
                except Exception as refused:  # noqa: BLE001 - raised by this call alone
                    results[place] = refused
                    continue
                if decoded is not None:
                    key = begun.checkpoint.identity, call.options.steps
                    waited = began - asked
                    ready[key].append(_Decoded(place, begun, under, held, decoded, waited))
            for (_, steps), group in ready.items():
                try:
                    found = list(self._learned(group, steps, began, deadline))
                except Exception as failed:  # noqa: BLE001 - raised by these calls alone
                    for one in group:
                        results[one.place] = failed
                    continue
                for one, learned, read in found:
                    results[one.place] = self._storing_of(one, learned, read, calls[one.place][1])
        return results

    def _storing_of(
        self, one: _Decoded, learned: Learned | BaseException, read: Read, asked: float
    ) -> Future[Adapted | Replayed] | BaseException:
        """The session of a call while it is stored; not that of a caller who has given up."""
        if isinstance(learned, BaseException):
            return learned
        seconds = self._limits.deadline_seconds

        def made() -> Adapted | Replayed:
            if time.perf_counter() - asked > seconds:
                raise DeadlineExceeded("adapting", seconds)
            return self._made(one.begun, learned, read, one.under)

        stored = self._storing.submit(made)
        # However it ends, be it cancelled before it began.
        key_held = one.held.pop_all()
        stored.add_done_callback(lambda _: key_held.close())
        return stored

    def _learned(
        self, group: Sequence[_Decoded], steps: int | None, began: float, deadline: float
    ) -> Iterator[tuple[_Decoded, Learned | BaseException, Read]]:
        """What calls of one initialization and number of steps come to, together."""
        checkpoint = group[0].begun.checkpoint
        together = checkpoint.preprocessing.prepare(
            [image for one in group for image in one.pixels]
        ).images
        images = torch.split(together, [len(one.pixels) for one in group])
        decoding = time.perf_counter() - began
        reads = [Read(own, one.waited, decoding) for one, own in zip(group, images, strict=True)]
        unions = [
            Union(read.images, one.begun.call.images, one.begun.labels)
            for one, read in zip(group, reads, strict=True)
        ]
        sets = list(zip(unions, reads, strict=True))
        learned = self._learner.learn_here(checkpoint, sets, steps, deadline)
        return zip(group, learned, reads, strict=True)

    def _begun(self, call: AdaptCall) -> _Begun:
        """What a call to `adapt` comes to before its images are looked at. Raises InvalidInput."""
        checkpoint = self._loaded.chosen(call.options.initialization)
        labels, label_problems = clean_labels(call.images)
        problems = [
            *call.problems,
            *self._option_problems(call.options, checkpoint),
            *label_problems,
            *support_problems(len(call.images), labels, (), self._limits),
        ]
        return _Begun(call, checkpoint, labels, problems)

    def _made(
        self, begun: _Begun, learned: Learned, read: Read, under: _UnderKey
    ) -> Adapted | Replayed:
        """The new session of a call to `adapt`, stored."""
        session = self._new_session(begun, learned)
        told = learned.told(session, begun.checkpoint, read)
        return self._stored(told, learned, under, new=True)

    @contextlib.contextmanager
    def _keyed(
        self, call: AdaptCall, labels: Sequence[str], problems: Sequence[Problem]
    ) -> Iterator[_UnderKey]:
        """A call under its key, if it has one, with the answer that an earlier one got.

        A call that is refused anyway is no repetition of one that was answered.
        """
        keyed = call.keyed
        if keyed is None or problems:
            yield _UnderKey(None, None, "", None)
            return
        digest = digest_of(call.images, labels, call.options)
        key = IdempotencyKey(call.tenant, keyed.route, keyed.key)
        with self._keys.held(key, digest):
            kept = self._sessions.kept_answer(key)
            if kept is not None and kept.digest != digest:
                raise IdempotencyKeyReused
            earlier = None
            if kept is not None:
                self._sessions.read(kept.session_id, call.tenant)
                if kept.content is None:
                    raise SessionNotFound(kept.session_id)
                earlier = Replayed(kept.status, kept.content)
            yield _UnderKey(key, keyed, digest, earlier)

    def _stored(
        self, adapted: Adapted, learned: Learned, under: _UnderKey, *, new: bool
    ) -> Adapted:
        """Keep the session and, of a keyed call, the answer; tell how long that took."""
        session, support = adapted.session, learned.support
        kept = KeptSupport(support.images, support.labels) if session.keeps_support else None
        answer = None
        if under.key is not None and under.keyed is not None:
            answer = KeptAnswer(
                key=under.key,
                digest=under.digest,
                session_id=session.id,
                status=under.keyed.status,
                content=under.keyed.tell(adapted),
                created_at=self._clock(),
            )
        began = time.perf_counter()
        if new:
            self._sessions.put(session, kept, answer)
        else:
            self._sessions.replace(session, kept, answer)
        seconds = time.perf_counter() - began
        return replace(adapted, timing=replace(adapted.timing, store=seconds))

    def _option_problems(self, options: AdaptOptions, checkpoint: Checkpoint) -> list[Problem]:
        problems = []
        most_steps = checkpoint.config.inner_loop.max_steps
        if options.steps is not None and not 0 <= options.steps <= most_steps:
            problems.append(
                Problem(
                    "out_of_range",
                    f"expected 0 to {most_steps}, the most that {checkpoint.name!r} was "
                    f"validated for, got {options.steps}",
                    "steps",
                )
            )
        ttl, longest = options.ttl_seconds, self._limits.max_ttl_seconds
        if ttl is not None and not (math.isfinite(ttl) and 1 <= ttl <= longest):
            problems.append(
                Problem("out_of_range", f"expected 1 to {longest:g}, got {ttl:g}", "ttl_seconds")
            )
        if options.keep_support and not self._limits.may_keep_support:
            message = "this server keeps no support sets; expected false or nothing"
            problems.append(Problem("not_allowed", message, "keep_support"))
        return problems

    def _new_session(self, begun: _Begun, learned: Learned) -> Session:
        now, limits, checkpoint = self._clock(), self._limits, begun.checkpoint
        options = begun.call.options
        ttl = limits.default_ttl_seconds if options.ttl_seconds is None else options.ttl_seconds
        return Session(
            id=new_session_id(),
            tenant=begun.call.tenant,
            identity=checkpoint.identity,
            labels=learned.names,
            image_counts=learned.image_counts(),
            steps=checkpoint.config.inner_loop.steps if options.steps is None else options.steps,
            version=1,
            keeps_support=limits.may_keep_support and options.keep_support is not False,
            adapted=learned.adaptation.adapted,
            created_at=now,
            ttl_seconds=ttl,
            expires_at=now + ttl,
            ends_at=now + max(ttl, limits.max_lifetime_seconds),
        )
