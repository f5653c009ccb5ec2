"""Which of the loaded initializations fits the images of a call best, and why.

Two questions decide. Which kind of picture do they resemble most, of those that the preprocessings
are for? And of the initializations for that kind, whose training images are they most like?
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..engine.handle import Handle
from ..engine.work import Timing
from .decoding import Look, Pixels
from .service import Service
from .values import Candidate, Choice, SentImage


@dataclass(frozen=True)
class Chosen:
    """A choice with what was decoded for it, which need not be decoded again, and its time."""

    choice: Choice
    pixels: Pixels
    timing: Timing


async def choose(service: Service, images: Sequence[SentImage], tenant: str) -> Chosen:
    """The initialization that fits some of the images best; the same for any order of them.

    The first one that is loaded where images decide nothing: none can be decoded, or it is alone.
    """
    handles = list(service.registry.by_name.values())
    if len(handles) == 1:
        only = Choice(handles[0], "it is the only one that is loaded", _candidates(handles))
        return Chosen(only, {}, Timing())
    kinds = {handle.preprocessing_name: handle.preprocessing for handle in handles}
    compared = _compared(handles)
    looks, timing = await service.decoding.of(tenant).look(
        images, list(kinds.values()), [handle.preprocessing for handle in compared]
    )
    if not looks:
        none = Choice(handles[0], "no image can be decoded", _candidates(handles))
        return Chosen(none, {}, timing)
    resembles = {
        kind: math.fsum(look.resembles[place] for look in looks) / len(looks)
        for place, kind in enumerate(kinds)
    }
    likest = max(resembles, key=lambda kind: resembles[kind])
    fitting = [handle for handle in handles if handle.preprocessing_name == likest]
    unlike = _unlikeness(compared, likest, looks)
    handle = min(fitting, key=lambda each: unlike.get(each.name, math.inf))
    shares = {kind: 1 / (1 + math.exp(-odds)) for kind, odds in resembles.items()}
    choice = Choice(
        handle, _reason(handle, fitting, shares, unlike), _candidates(handles, shares, unlike)
    )
    return Chosen(choice, _pixels(looks, handle), timing)


def _compared(handles: Sequence[Handle]) -> list[Handle]:
    """Those that are not alone for their kind of picture, and can tell likeness."""
    kinds = Counter(handle.preprocessing_name for handle in handles)
    return [
        handle
        for handle in handles
        if kinds[handle.preprocessing_name] > 1 and handle.checkpoint.config.calibration is not None
    ]


def _unlikeness(compared: Sequence[Handle], kind: str, looks: Sequence[Look]) -> dict[str, float]:
    """How unlike the training images of each for a kind the images are, by name."""
    found = {}
    for place, handle in enumerate(compared):
        if handle.preprocessing_name == kind:
            statistics = torch.cat([look.statistics[place] for look in looks])
            unlikeness = handle.unlikeness(statistics)
            if unlikeness is not None:
                found[handle.name] = unlikeness
    return found


def _pixels(looks: Sequence[Look], handle: Handle) -> Pixels:
    return {
        look.image.place: look.rgba
        for look in looks
        if look.rgba is not None and look.serves(handle.preprocessing)
    }


def _candidates(
    handles: Sequence[Handle],
    shares: dict[str, float] | None = None,
    unlike: dict[str, float] | None = None,
) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            handle,
            (shares or {}).get(handle.preprocessing_name),
            (unlike or {}).get(handle.name),
        )
        for handle in handles
    )


def _reason(
    handle: Handle, fitting: Sequence[Handle], shares: dict[str, float], unlike: dict[str, float]
) -> str:
    kind = handle.preprocessing_name
    parts = []
    if len(shares) > 1:
        others = ", ".join(f"{o} {share:.2f}" for o, share in shares.items() if o != kind)
        parts.append(f"the images resemble a {kind} most ({shares[kind]:.2f}; {others})")
    if handle.name in unlike:
        parts.append(
            f"of {len(fitting)} for a {kind} they are least unlike the training images of this one "
            f"({unlike[handle.name]:.2f} times its limit)"
        )
    elif len(fitting) > 1:
        parts.append(f"of {len(fitting)} for a {kind} none tells its likeness: this is the first")
    return ", and ".join(parts)
