"""Making and growing sessions: from images to what is stored and told."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..engine.engine import Engine
from ..errors import (
    IdempotencyKeyReused,
    PreconditionFailed,
    Problem,
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
from .loaded import Loaded
from .reading import Reader, clean_labels, support_problems
from .values import (
    Adapted,
    AdaptOptions,
    Keyed,
    LabelledImage,
    Limits,
    Replayed,
)


@dataclass(frozen=True)
class _Call:
    """A call to a use case that may be repeated: its key, digest, and the earlier answer."""

    key: IdempotencyKey | None
    keyed: Keyed | None
    digest: str
    earlier: Replayed | None


class Adapting:
    """The use cases that adapt."""

    def __init__(
        self,
        loaded: Loaded,
        engine: Engine,
        sessions: Sessions,
        reader: Reader,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._loaded, self._sessions = loaded, sessions
        self._reader, self._limits, self._clock = reader, limits, clock
        self._learner = Learner(engine, Advice(loaded, reader), limits)
        self._keys, self._turns = RunningKeys(), Turns()

    def close(self) -> None:
        """Finish what runs beside the engine."""
        self._learner.close()

    def adapt(
        self,
        images: Sequence[LabelledImage],
        options: AdaptOptions,
        problems: Sequence[Problem] = (),
        *,
        tenant: str = "",
        keyed: Keyed | None = None,
    ) -> Adapted | Replayed:
        """Make a session from a support set: all of it, or nothing and a list of all problems.

        ``problems`` are those that reading the call has found already.

        Raises InvalidInput, InnerLoopDiverged, Unavailable, DeadlineExceeded, and for keyed calls
        IdempotencyKeyInUse and IdempotencyKeyReused.
        """
        checkpoint = self._loaded.chosen(options.initialization)
        labels, label_problems = clean_labels(images)
        found = [
            *problems,
            *self._option_problems(options, checkpoint),
            *label_problems,
            *support_problems(len(images), labels, (), self._limits),
        ]
        # A call that is refused anyway is no repetition of one that was answered.
        keyed = None if found else keyed
        with self._keyed(tenant, keyed, lambda: digest_of(images, labels, options)) as call:
            if call.earlier is not None:
                return call.earlier
            deadline = time.monotonic() + self._limits.deadline_seconds
            read = self._reader.read(images, checkpoint, found, deadline)
            union = Union(read.images, images, labels)
            learned = self._learner.learn(checkpoint, union, read, options, deadline)
            keeps = self._limits.may_keep_support and options.keep_support is not False
            session = self._new_session(checkpoint, options, learned, tenant, keeps=keeps)
            return self._stored(learned.told(session, checkpoint, read), learned, call, new=True)

    def add(
        self,
        session_id: str,
        images: Sequence[LabelledImage],
        options: AdaptOptions,
        problems: Sequence[Problem] = (),
        *,
        tenant: str = "",
        if_match: frozenset[str] | None = None,
        keyed: Keyed | None = None,
    ) -> Adapted | Replayed:
        """Add images, of new classes too, to a session that keeps its support set.

        It adapts again from the initialization on all of them. A call that fails leaves the
        session as it was, and calls at the same time take turns, so that none is lost.
        ``if_match`` are the versions that the caller means.

        Raises as `adapt` does, and SessionNotFound, InitializationNotLoaded, SupportNotKept,
        PreconditionFailed.
        """
        labels, label_problems = clean_labels(images)
        deadline = time.monotonic() + self._limits.deadline_seconds
        keyed = None if (problems or label_problems) else keyed
        with (
            self._keyed(tenant, keyed, lambda: digest_of(images, labels, options)) as call,
            self._turns.of(session_id, self._limits.deadline_seconds),
        ):
            if call.earlier is not None:
                return call.earlier
            session = self._sessions.look_at(session_id, tenant)
            if if_match is not None and str(session.version) not in if_match:
                raise PreconditionFailed(sorted(if_match), session.version)
            checkpoint = self._loaded.of(session)
            kept = self._sessions.support_of(session)
            if kept is None or not self._limits.may_keep_support:
                raise SupportNotKept
            before = [session.labels[label] for label in kept.labels.tolist()]
            found = [
                *problems,
                *self._option_problems(options, checkpoint),
                *label_problems,
                *support_problems(len(images), labels, before, self._limits),
            ]
            read = self._reader.read(images, checkpoint, found, deadline)
            union = Union(torch.cat([kept.images, read.images]), images, [*before, *labels])
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
            return self._stored(learned.told(grown, checkpoint, read), learned, call, new=False)

    @contextlib.contextmanager
    def _keyed(
        self, tenant: str, keyed: Keyed | None, digesting: Callable[[], str]
    ) -> Iterator[_Call]:
        """A call under its key, if it has one, with the answer that an earlier one got."""
        if keyed is None:
            yield _Call(None, None, "", None)
            return
        digest = digesting()
        key = IdempotencyKey(tenant, keyed.route, keyed.key)
        with self._keys.held(key, digest):
            kept = self._sessions.kept_answer(key)
            if kept is not None and kept.digest != digest:
                raise IdempotencyKeyReused
            earlier = None
            if kept is not None:
                self._sessions.look_at(kept.session_id, tenant)
                earlier = Replayed(kept.status, kept.content or b"")
            yield _Call(key, keyed, digest, earlier)

    def _stored(self, adapted: Adapted, learned: Learned, call: _Call, *, new: bool) -> Adapted:
        """Keep the session and, of a keyed call, the answer; tell how long that took."""
        session, support = adapted.session, learned.support
        kept = KeptSupport(support.images, support.labels) if session.keeps_support else None
        answer = None
        if call.key is not None and call.keyed is not None:
            answer = KeptAnswer(
                key=call.key,
                digest=call.digest,
                session_id=session.id,
                status=call.keyed.status,
                content=call.keyed.tell(adapted),
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

    def _new_session(
        self,
        checkpoint: Checkpoint,
        options: AdaptOptions,
        learned: Learned,
        tenant: str,
        *,
        keeps: bool,
    ) -> Session:
        now, limits = self._clock(), self._limits
        ttl = limits.default_ttl_seconds if options.ttl_seconds is None else options.ttl_seconds
        return Session(
            id=new_session_id(),
            tenant=tenant,
            identity=checkpoint.identity,
            labels=learned.names,
            image_counts=learned.image_counts(),
            steps=checkpoint.config.inner_loop.steps if options.steps is None else options.steps,
            version=1,
            keeps_support=keeps,
            adapted=learned.adaptation.adapted,
            created_at=now,
            ttl_seconds=ttl,
            expires_at=now + ttl,
            ends_at=now + max(ttl, limits.max_lifetime_seconds),
        )
