"""Making a session of a file that a server gave out, on this or another server."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import torch

from ..engine.handle import Handle
from ..engine.work import Queries
from ..errors import BadSessionFile, InvalidInput
from ..images.fingerprints import unknown
from ..images.prepared import Prepared
from ..meta.head import BIAS, WEIGHT
from ..meta.inner_loop import HEAD, first_adapted
from ..meta.params import copied_channels_last
from ..sessions.portable import Portable, from_file
from ..sessions.session import KeptSupport, Session, new_session_id
from .deadline import within
from .idempotency import digest_of, repeatable
from .service import Service
from .validation import clean_labels, loop_problems, option_problems, support_problems
from .values import AdaptOptions, Notice, Replayed, RestoreCall, Restored, SentImage

FIELD = "session"
"""What problems call the file."""
MOST_TIMES = 1e4
"""How many times as large as the initialization's largest number, or as 1, a tensor's may be."""
NOT_KEPT = Notice(
    "support_not_kept",
    "this server keeps no support sets, so that the file's was left out: none can be added to it",
)


async def restore(service: Service, call: RestoreCall) -> Restored | Replayed:
    """Make a session of a file: as it was where it came from, under another id, with a new end.

    All of the file is checked as a checkpoint is. Raises BadSessionFile, InitializationNotLoaded,
    InvalidInput, Unavailable, TenantLimit, and for keyed calls IdempotencyKeyInUse and
    IdempotencyKeyReused.
    """
    limits = service.limits
    options = AdaptOptions(ttl_seconds=call.ttl_seconds)
    problems = [*call.problems, *option_problems(options, limits)]
    if problems:
        raise InvalidInput(problems)
    file = SentImage(call.content, FIELD, 0)
    digest = partial(digest_of, [file], [""], options)
    async with AsyncExitStack() as held:
        async with within(limits.deadline_seconds, "reading the file of a session"):
            key = await held.enter_async_context(
                repeatable(service, call.keyed, call.tenant, problems, digest)
            )
            if key is not None and key.earlier is not None:
                return key.earlier
            reading = service.decoding.of(call.tenant)
            portable = await reading.run(from_file, call.content)
            handle = service.registry.by_identity(portable.initialization.identity)
            support = await reading.run(_checked, portable, handle, service)
            await _check_that_it_predicts(service, portable, handle, call.tenant)
        warnings = () if support is None or limits.may_keep_support else (NOT_KEPT,)
        kept = support if limits.may_keep_support else None
        session = _session(service, portable, call, keeps_support=kept is not None)
        restored = Restored(session, handle, warnings)
        answer = None
        if key is not None:
            restored = replace(restored, answer=key.keyed.write(restored))
            answer = key.answer(session.id, restored.answer or b"", service.clock())
        await service.storage.write(session, kept, answer)
        return restored


def _session(
    service: Service, portable: Portable, call: RestoreCall, *, keeps_support: bool
) -> Session:
    limits, now, told = service.limits, service.clock(), portable.session
    ttl = limits.default_ttl_seconds if call.ttl_seconds is None else call.ttl_seconds
    ends_at = now + limits.max_lifetime_seconds
    return Session(
        id=new_session_id(),
        tenant=call.tenant,
        identity=portable.initialization.identity,
        labels=tuple(told.labels),
        image_counts=tuple(told.image_counts),
        steps=told.steps,
        version=1,
        keeps_support=keeps_support,
        created_at=now,
        ttl_seconds=ttl,
        expires_at=min(now + ttl, ends_at),
        ends_at=ends_at,
        n_views=told.n_views,
        adapted=copied_channels_last(portable.adapted),
    )


def _checked(portable: Portable, handle: Handle, service: Service) -> KeptSupport | None:
    """The support set of a file, if it has one.

    Raises BadSessionFile where anything in the file is not what a session of this initialization
    has, and InvalidInput where that is more than this server allows.
    """
    told, counts = portable.session, portable.session.image_counts
    labels = [SentImage(b"", FIELD, place, label) for place, label in enumerate(told.labels)]
    cleaned, problems = clean_labels(labels)
    if problems or sorted(set(cleaned)) != told.labels:
        raise BadSessionFile("expected different labels in order, as in an answer")
    if len(counts) != len(cleaned) or min(counts, default=0) < 1:
        raise BadSessionFile("expected the number of images of each label, 1 or more")
    problems = support_problems(sum(counts), cleaned, (), service.limits)
    problems += loop_problems(AdaptOptions(steps=told.steps, views=told.n_views), handle)
    if problems:
        raise InvalidInput(problems)
    _check_adapted(portable, handle)
    return _checked_support(portable, handle) if portable.support else None


def _check_adapted(portable: Portable, handle: Handle) -> None:
    initialization, network = handle.checkpoint.initialization, handle.checkpoint.network
    n_way = len(portable.session.labels)
    shapes = {
        name: tuple(initialization.params[name].shape)
        for name in initialization.step_sizes.keys() - HEAD
    } | {WEIGHT: (n_way, network.feature_size), BIAS: (n_way,)}
    if shapes.keys() != portable.adapted.keys():
        raise BadSessionFile(
            f"expected the tensors {', '.join(sorted(shapes))}, got "
            f"{', '.join(sorted(portable.adapted)) or 'none'}"
        )
    for name, tensor in portable.adapted.items():
        _check_tensor(name, tensor, shapes[name], torch.float32)
        usual = initialization.params.get(name)
        largest = 1.0 if usual is None else max(1.0, float(usual.abs().max()))
        _check_size(name, tensor, MOST_TIMES * largest)


def _checked_support(portable: Portable, handle: Handle) -> KeptSupport:
    told, tensors = portable.session, dict(portable.support)
    n_images = sum(told.image_counts)
    expected = {"images", "labels", "fingerprints"}
    if tensors.keys() != expected:
        raise BadSessionFile(f"expected of the support set {', '.join(sorted(expected))}")
    images, labels = tensors["images"], tensors["labels"]
    of_one = tuple(handle.checkpoint.network.input_shape)
    if handle.keeps_features:
        of_one = (told.n_views or handle.n_views, *_frozen_shape(handle))
    kind = torch.float16 if handle.keeps_features else torch.float32
    _check_tensor("images", images, (n_images, *of_one), kind)
    _check_size("images", images, MOST_TIMES)
    fingerprints = unknown(n_images)
    shape = tuple(fingerprints.shape)
    _check_tensor("fingerprints", tensors["fingerprints"], shape, fingerprints.dtype)
    _check_tensor("labels", labels, (n_images,), torch.int64)
    counts = Counter(labels.tolist())
    if [counts[place] for place in range(len(told.labels))] != told.image_counts:
        raise BadSessionFile("expected as many images of each label as the file says")
    return KeptSupport(images, labels, tensors["fingerprints"])


def _frozen_shape(handle: Handle) -> tuple[int, ...]:
    """The shape of what the frozen parts make of an image."""
    network, initialization = handle.checkpoint.network, handle.checkpoint.initialization
    first = first_adapted(network, initialization)
    if first == len(network.parts):
        return (network.feature_size,)
    blank = torch.zeros(1, *network.input_shape)
    with torch.no_grad():
        return tuple(network.through(initialization.params, blank, 0, first).shape[1:])


def _check_tensor(
    name: str, tensor: torch.Tensor, shape: tuple[int, ...], kind: torch.dtype
) -> None:
    if tuple(tensor.shape) != shape or tensor.dtype != kind:
        raise BadSessionFile(
            f"{name}: expected {str(kind).removeprefix('torch.')} {shape}, got "
            f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
        )


def _check_size(name: str, tensor: torch.Tensor, most: float) -> None:
    # Comparing fails for what is not a number, too.
    if not bool((tensor.abs() <= most).all()):
        raise BadSessionFile(f"{name}: expected finite numbers of {most:g} or less")


async def _check_that_it_predicts(
    service: Service, portable: Portable, handle: Handle, tenant: str
) -> None:
    told = portable.session
    blank = torch.zeros(1, *handle.checkpoint.network.input_shape)
    statistics = torch.zeros(1, len(handle.preprocessing.statistic_names))
    queries = Queries(
        Prepared(blank, (True,), statistics), portable.adapted, told.image_counts, told.n_views
    )
    classified = await asyncio.wrap_future(service.engine.predict(handle, queries, tenant))
    probabilities, _ = classified.scores[0]
    if not all(map(math.isfinite, probabilities)):
        raise BadSessionFile("expected a session that predicts, got one of which no number comes")
