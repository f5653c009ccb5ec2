"""What a caller should know about a support set or a query that is no reason to refuse it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .values import LabelledImage, QueryImage, Warned


def few_images(labels: Sequence[str]) -> tuple[Warned, ...]:
    """A warning of classes with one image."""
    single = sorted({label for label in labels if labels.count(label) == 1})
    if not single:
        return ()
    message = f"one image only of {_quoted(single)}: more drawings of a class make it safer"
    return (Warned("few_images", message),)


def same_images(images: torch.Tensor, labels: Sequence[str]) -> tuple[Warned, ...]:
    """Warnings of preprocessed images that are the same under several labels."""
    by_content: dict[bytes, set[str]] = {}
    for image, label in zip(images.numpy(), labels, strict=True):
        by_content.setdefault(image.tobytes(), set()).add(label)
    return tuple(
        Warned("same_image", f"the same image is labelled {_quoted(sorted(shared))}")
        for shared in by_content.values()
        if len(shared) > 1
    )


def blank_images(
    images: Sequence[LabelledImage | QueryImage], blank: Sequence[bool]
) -> tuple[Warned, ...]:
    """Warnings of images without a drawing, which are those that ``blank`` tells."""
    return tuple(
        Warned("blank_image", f"{image.field!r}[{image.index}] shows no drawing")
        for image, shows_nothing in zip(images, blank, strict=True)
        if shows_nothing
    )


def one_class_wins(labels: tuple[str, ...], predicted: Sequence[int]) -> tuple[Warned, ...]:
    """A warning where all support images are taken for one class."""
    if len(set(predicted)) > 1:
        return ()
    winner = labels[predicted[0]]
    message = (
        f"after adaptation every support image is classified as {winner!r}: the images of the "
        "other classes cannot be told from it"
    )
    return (Warned("one_class_wins", message),)


def _quoted(labels: Sequence[str]) -> str:
    return ", ".join(repr(label) for label in labels)
