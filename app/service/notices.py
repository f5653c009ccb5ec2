"""What a caller should know about a support set or a query that is no reason to refuse it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import torch

from ..engine.handle import Handle
from ..engine.work import Adaptation, Classification
from .choice import choose
from .labelled_support import LabelledSupport
from .service import Service
from .values import Notice, SentImage

NAMED_IMAGES = 10
"""Images of a call that one notice names."""


async def support_notices(
    service: Service,
    handle: Handle,
    support: LabelledSupport,
    adaptation: Adaptation,
    tenant: str,
    deadline: float,
) -> tuple[Notice, ...]:
    """All notices on a support set and what adapting to it came to."""
    return (
        *few_images(support.labels),
        *same_images(support.kept_with(adaptation.kept), support.labels),
        *blank_images(support.sent, adaptation.blank),
        *one_class_wins(support.names, adaptation.support_predictions),
        *await unlike_training_data(
            service, handle, support.sent, adaptation.unlikeness, tenant, deadline
        ),
    )


def few_images(labels: Sequence[str]) -> tuple[Notice, ...]:
    """A notice of classes with one image."""
    single = sorted(label for label, count in Counter(labels).items() if count == 1)
    if not single:
        return ()
    message = f"one image only of {_quoted(single)}: more images of a class make it safer"
    return (Notice("few_images", message),)


def same_images(kept: torch.Tensor, labels: Sequence[str]) -> tuple[Notice, ...]:
    """Notices of images that are the same under several labels, by what is kept of them."""
    by_content: dict[bytes, set[str]] = {}
    for image, label in zip(kept.numpy(), labels, strict=True):
        by_content.setdefault(image.tobytes(), set()).add(label)
    return tuple(
        Notice("same_image", f"the same image is labelled {_quoted(sorted(several))}")
        for several in by_content.values()
        if len(several) > 1
    )


def blank_images(images: Sequence[SentImage], blank: Sequence[bool]) -> tuple[Notice, ...]:
    """Notices of images that show nothing, which are those that ``blank`` tells."""
    return tuple(
        Notice("blank_image", f"{image.field!r}[{image.index}] shows nothing")
        for image, shows_nothing in zip(images, blank, strict=True)
        if shows_nothing
    )


def unlike_queries(
    initialization: str, images: Sequence[SentImage], classified: Classification
) -> tuple[Notice, ...]:
    """A notice of the queries that are unlike the training data, each judged by itself.

    Those that show nothing are told by `blank_images`.
    """
    each = classified.unlikeness or ()
    unlike = [
        (image, times)
        for image, times, blank in zip(images, each, classified.blank, strict=bool(each))
        if times > 1 and not blank
    ]
    if not unlike:
        return ()
    named = ", ".join(f"{image.field!r}[{image.index}]" for image, _ in unlike[:NAMED_IMAGES])
    more = "" if len(unlike) <= NAMED_IMAGES else f" and {len(unlike) - NAMED_IMAGES} more"
    farthest = max(times for _, times in unlike)
    message = (
        f"unlike the images that {initialization!r} learned from (by up to {farthest:.1f} times "
        f"its limit), so expect less of their predictions: {named}{more}"
    )
    return (Notice("unlike_training_data", message),)


def one_class_wins(names: Sequence[str], predicted: Sequence[int]) -> tuple[Notice, ...]:
    """A notice where all support images are taken for one class."""
    if len(set(predicted)) > 1:
        return ()
    message = (
        f"after adaptation every support image is classified as {names[predicted[0]]!r}: the "
        "images of the other classes cannot be told from it"
    )
    return (Notice("one_class_wins", message),)


async def unlike_training_data(
    service: Service,
    handle: Handle,
    images: Sequence[SentImage],
    unlikeness: float | None,
    tenant: str,
    deadline: float,
) -> tuple[Notice, ...]:
    """A notice where images are unlike the training data, with what fits them better if any."""
    if unlikeness is None or unlikeness <= 1:
        return ()
    better = await _better_fit(service, handle, images, tenant, deadline)
    advice = "" if better is None else f"; initialization {better!r} fits them better"
    message = (
        f"these images are unlike those that {handle.name!r} learned from "
        f"({unlikeness:.1f} times its limit), so expect less of it{advice}"
    )
    return (Notice("unlike_training_data", message),)


async def _better_fit(
    service: Service, handle: Handle, images: Sequence[SentImage], tenant: str, deadline: float
) -> str | None:
    """Another initialization that the images would have chosen, if any.

    It is advice: None rather than a refusal when ``deadline`` passes.
    """
    try:
        async with asyncio.timeout_at(deadline):
            chosen = await choose(service, images, tenant)
    except TimeoutError:
        return None
    better = chosen.choice.handle
    return None if better is handle else better.name


def _quoted(labels: Sequence[str]) -> str:
    return ", ".join(repr(label) for label in labels)
