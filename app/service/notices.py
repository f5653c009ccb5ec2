"""What a caller should know about a support set or a query that is no reason to refuse it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from ..engine.handle import Handle
from ..engine.work import Adaptation, Classification
from ..sessions.session import Session
from .choice import choose
from .copies import Pictures
from .labelled_support import LabelledSupport
from .service import Service
from .values import Notice, SentImage

NAMED_IMAGES = 10
"""Images of a call that one notice names."""
NAMED_PICTURES = 5
"""Pictures whose copies one notice names, and labels and copies of each."""


async def support_notices(
    service: Service,
    handle: Handle,
    support: LabelledSupport,
    adaptation: Adaptation,
    tenant: str,
    deadline: float,
) -> tuple[Notice, ...]:
    """All notices on a support set and what adapting to it came to, but for those on copies."""
    return (
        *few_images(support.labels),
        *blank_images(support.sent, adaptation.blank),
        *one_class_wins(support.names, adaptation.support_predictions),
        *await unlike_training_data(
            service, handle, support.sent, adaptation.unlikeness, tenant, deadline
        ),
    )


def unconfirmed(session: Session) -> tuple[Notice, ...]:
    """A notice where a session's store could not be asked whether it is still the one."""
    age = session.unconfirmed_seconds
    if age is None:
        return ()
    message = (
        f"the session store could not be asked for this session, which is as it was {age:.0f} s "
        "ago: it may have been added to or deleted since"
    )
    return (Notice("session_unconfirmed", message),)


def few_images(labels: Sequence[str]) -> tuple[Notice, ...]:
    """A notice of classes with one image."""
    single = sorted(label for label, count in Counter(labels).items() if count == 1)
    if not single:
        return ()
    message = f"one image only of {_quoted(single)}: more images of a class make it safer"
    return (Notice("few_images", message),)


def copies(support: LabelledSupport, pictures: Pictures) -> tuple[Notice, ...]:
    """Notices of images of a support set that show the same picture."""
    return (*several_labels(support, pictures), *copied_images(support, pictures))


def several_labels(support: LabelledSupport, pictures: Pictures) -> tuple[Notice, ...]:
    """A notice of pictures whose copies have several labels, of which one at most is right."""
    found = [
        (sorted({support.labels[position] for position in positions}), positions)
        for positions in pictures
        if len({support.labels[position] for position in positions}) > 1
    ]
    if not found:
        return ()
    told = _told(support, [(_first_quoted(labels), where) for labels, where in found])
    return (Notice("same_image", f"the same picture has several labels: {told}"),)


def copied_images(support: LabelledSupport, pictures: Pictures) -> tuple[Notice, ...]:
    """A notice of pictures that a class has several copies of, which say no more than one does."""
    found: dict[tuple[int, str], list[int]] = {}
    for picture, positions in enumerate(pictures):
        for position in positions:
            found.setdefault((picture, support.labels[position]), []).append(position)
    copied = [(repr(label), where) for (_, label), where in found.items() if len(where) > 1]
    if not copied:
        return ()
    message = f"copies of one picture in a class: {_told(support, copied)}"
    return (Notice("copied_image", message),)


def _told(support: LabelledSupport, found: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Labels and the images that have them, picture by picture."""
    told = [
        f"{labels} ({', '.join(_place(support, each) for each in where[:NAMED_PICTURES])}"
        f"{_more(len(where) - NAMED_PICTURES, '')})"
        for labels, where in found[:NAMED_PICTURES]
    ]
    return "; ".join(told) + _more(len(found) - NAMED_PICTURES, " pictures")


def _first_quoted(labels: Sequence[str]) -> str:
    return _quoted(labels[:NAMED_PICTURES]) + _more(len(labels) - NAMED_PICTURES, "")


def _place(support: LabelledSupport, position: int) -> str:
    """Where an image stood in its call, or its position in the session if that was an earlier."""
    image = support.sent_at(position)
    return f"position {position}" if image is None else f"{image.field!r}[{image.index}]"


def _more(number: int, what: str) -> str:
    return f" and {number} more{what}" if number > 0 else ""


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
    more = _more(len(unlike) - NAMED_IMAGES, "")
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
