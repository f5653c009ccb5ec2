"""What is wrong with a call besides its images: labels, counts and options."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from ..engine.handle import Handle
from ..errors import Problem
from .values import AdaptOptions, Limits, SentImage

MAX_LABEL_LENGTH = 100
MOST_COMPOSED = 4
"""How many characters at most become a single one in NFC; marks without end take it quadratic time,
so that a longer label is too long before it is looked at."""
MIN_CLASSES = 2
TOO_MANY_IMAGES = "too_many_images"
UNUSABLE = ("Cc", "Cs")
"""Unicode's categories of control characters and lone surrogates."""


def clean_labels(images: Sequence[SentImage]) -> tuple[list[str], list[Problem]]:
    """Labels in NFC and trimmed, with the problems of those that cannot be used."""
    cleaned, problems = [], []
    for image in images:
        label = image.label.strip()
        if len(label) <= MOST_COMPOSED * MAX_LABEL_LENGTH:
            label = unicodedata.normalize("NFC", label).strip()
        cleaned.append(label)
        if not 1 <= len(label) <= MAX_LABEL_LENGTH:
            message = f"expected a label of 1 to {MAX_LABEL_LENGTH} characters, got {len(label)}"
        elif any(unicodedata.category(character) in UNUSABLE for character in label):
            message = "expected a label without control characters and lone surrogates"
        else:
            continue
        problems.append(Problem("bad_label", message, image.field, image.index))
    return cleaned, problems


def support_problems(
    n_images: int, labels: Sequence[str], kept: Sequence[str], limits: Limits
) -> list[Problem]:
    """What is wrong with the size of a support set; ``kept`` are labels it has already."""
    if not n_images:
        return [Problem("no_images", "expected labelled images, got none")]
    problems = []
    total = n_images + len(kept)
    if total > limits.max_support_images:
        already = f", {len(kept)} of them kept from before" if kept else ""
        problems.append(
            Problem(
                TOO_MANY_IMAGES,
                f"expected at most {limits.max_support_images} images, got {total}{already}",
            )
        )
    return problems + class_problems([*labels, *kept], limits)


def class_problems(labels: Sequence[str], limits: Limits) -> list[Problem]:
    """What is wrong with the number of different labels of a support set."""
    classes = len(set(labels))
    if MIN_CLASSES <= classes <= limits.max_classes:
        return []
    message = (
        f"expected images of {MIN_CLASSES} to {limits.max_classes} different labels, got {classes}"
    )
    return [Problem("number_of_classes", message)]


def query_problems(n_images: int, top_k: int | None, limits: Limits) -> list[Problem]:
    """What is wrong with a number of queries, and of labels that each is to be told with."""
    problems = []
    if not n_images:
        problems.append(Problem("no_images", "expected at least one image, got none"))
    if n_images > limits.max_query_images:
        message = f"expected at most {limits.max_query_images} images, got {n_images}"
        problems.append(Problem(TOO_MANY_IMAGES, message))
    if top_k is not None and top_k < 1:
        problems.append(Problem("out_of_range", f"expected 1 or more, got {top_k}", "top_k"))
    return problems


def loop_problems(options: AdaptOptions, handle: Handle) -> list[Problem]:
    """What an initialization cannot do of what options ask for: steps and views."""
    most_steps = handle.checkpoint.config.inner_loop.max_steps
    problems = []
    if options.steps is not None and not 0 <= options.steps <= most_steps:
        message = (
            f"expected 0 to {most_steps}, the most that {handle.name!r} was validated for, "
            f"got {options.steps}"
        )
        problems.append(Problem("out_of_range", message, "steps"))
    return problems + _views_problems(options.views, handle)


def option_problems(options: AdaptOptions, limits: Limits) -> list[Problem]:
    """What is wrong with the options of an adaptation, whatever the initialization."""
    problems = []
    ttl, longest = options.ttl_seconds, limits.max_ttl_seconds
    if ttl is not None and not (math.isfinite(ttl) and 1 <= ttl <= longest):
        message = f"expected 1 to {longest:g}, got {ttl:g}"
        problems.append(Problem("out_of_range", message, "ttl_seconds"))
    if options.keep_support and not limits.may_keep_support:
        message = "this server keeps no support sets; expected false or nothing"
        problems.append(Problem("not_allowed", message, "keep_support"))
    return problems


def _views_problems(n_views: int | None, handle: Handle) -> list[Problem]:
    if n_views is None or n_views in handle.allowed_views:
        return []
    allowed = handle.allowed_views
    wanted = f"{allowed[0]}" if len(allowed) == 1 else f"{allowed[0]} to {allowed[-1]}"
    message = f"expected {wanted}, which is what {handle.name!r} has, got {n_views}"
    return [Problem("out_of_range", message, "views")]
