"""Episodes drawn from classes of preprocessed images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from ..errors import BadData
from ..meta.episode import Episode, Support
from .sources import ClassFiles
from .stored_images import Change, StoredImages

Images = torch.Tensor | StoredImages
"""Preprocessed images of a class, in memory or in a file."""
PART_BYTES = 4 << 20
"""Of the preprocessed images that are worked on at once where all of a class are."""

LEAST_WAY = 2
"""Classes without which there is nothing to tell apart."""
LEAST_QUERY = 4
"""Queries a class without which a group's classes say too little of an accuracy."""


@dataclass(frozen=True)
class ClassImages:
    """Classes of preprocessed images: `(image, channel, height, width)` each, counts may differ.

    Images in a file are read, and changed, when they are asked for.

    ``groups`` names the group of each class, or "". With ``in_groups`` a class is told apart from
    those of its own group alone. ``files`` tells what each class was read from, or is empty.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    images: tuple[Images, ...]
    in_groups: bool = False
    files: tuple[ClassFiles, ...] = ()

    def joined(self, more: ClassImages) -> ClassImages:
        """These classes and more of them."""
        return replace(
            self,
            names=self.names + more.names,
            groups=self.groups + more.groups,
            images=self.images + more.images,
            files=self.files + more.files,
        )

    def placed(self, device: torch.device) -> ClassImages:
        """The same classes with their images on ``device``."""
        return self.changed(partial(_to, device=device))

    def changed(self, change: Change) -> ClassImages:
        """The same classes with their images changed, each by itself."""
        return replace(self, images=tuple(_changed(images, change) for images in self.images))

    def computed(self, change: Change, most: int | None = None) -> ClassImages:
        """The same classes with what ``change`` makes of their images, of ``most`` each, in memory.

        No more than a part of the images lies in memory beside it.
        """
        counts = [len(images) if most is None else min(most, len(images)) for images in self.images]
        end, made = 0, torch.empty(0)
        for images, count in zip(self.images, counts, strict=True):
            for part in in_parts(images, count):
                results = change(part)
                if end == 0:
                    # One block for all: small ones, each behind the freed memory of large images,
                    # would keep that from being used again.
                    made = results.new_empty((sum(counts), *results.shape[1:]))
                made[end : end + len(part)] = results
                end += len(part)
        return replace(self, images=torch.split(made, counts))

    def at(self, places: Sequence[tuple[int, int]]) -> torch.Tensor:
        """`(image, ...)`: images given by their class and their position in it."""
        return torch.stack([self.images[index][position] for index, position in places])

    def mirrored(self) -> ClassImages:
        """A mirror image of each class."""
        return replace(
            self.changed(partial(torch.flip, dims=(-1,))),
            names=tuple(f"{name}/mirrored" for name in self.names),
        )

    def with_rotations(self) -> ClassImages:
        """Four classes for each: upright and turned by 90, 180 and 270 degrees."""
        turned = [
            (f"{name}/rot{90 * turns:03}", group, _changed(images, _turned(turns)))
            for name, group, images in zip(self.names, self.groups, self.images, strict=True)
            for turns in range(4)
        ]
        names, groups, images = zip(*turned, strict=True)
        files = tuple(read for read in self.files for _ in range(4))
        return replace(self, names=names, groups=groups, images=images, files=files)

    def plan(self, shape: EpisodeShape, generator: torch.Generator) -> EpisodePlan:
        """Draw an episode of these classes; see `plan_episode`."""
        counts = [len(images) for images in self.images]
        return plan_episode(counts, shape, generator, self.groups if self.in_groups else ())


@dataclass(frozen=True)
class EpisodeShape:
    """How many classes, labelled images and queries a class an episode has, as ranges.

    Each range is (smallest, largest). The number of classes is drawn once an episode; the
    number of shots once a class if ``uneven``, else once an episode.
    """

    n_way: tuple[int, int]
    n_shot: tuple[int, int]
    n_query: int
    uneven: bool = False

    @staticmethod
    def fixed(n_way: int, n_shot: int, n_query: int) -> EpisodeShape:
        """An N-way K-shot episode of the literature."""
        return EpisodeShape((n_way, n_way), (n_shot, n_shot), n_query)


@dataclass(frozen=True)
class EpisodePlan:
    """Which images make up an episode: class positions, and image positions for each class."""

    classes: tuple[int, ...]
    support: tuple[tuple[int, ...], ...]
    query: tuple[tuple[int, ...], ...]

    def query_labels(self) -> torch.Tensor:
        """`(query,)` labels: the positions of the queries' classes in the plan."""
        return _labels(self.query)


def seeded(*numbers: int) -> torch.Generator:
    """A generator that depends on nothing but these numbers (each 0 or more)."""
    state = 0
    for number in numbers:
        state = (state * 6_364_136_223_846_793_005 + number + 1_442_695_040_888_963_407) % 2**63
    return torch.Generator().manual_seed(state)


def plan_episode(
    counts: Sequence[int],
    shape: EpisodeShape,
    generator: torch.Generator,
    groups: Sequence[str] = (),
) -> EpisodePlan:
    """Draw an episode from classes that have ``counts`` images.

    With ``groups``, one of each class, a group is drawn first and the classes from it: as many of
    those asked for as it has, each with the queries asked for or as many as are left, at least
    `LEAST_QUERY`. Raises BadData when there are too few classes with enough images.
    """
    n_query = min(shape.n_query, LEAST_QUERY) if groups else shape.n_query
    needed = shape.n_shot[1] + n_query
    eligible = [i for i, count in enumerate(counts) if count >= needed]
    if groups:
        eligible = _of_one_group(eligible, groups, generator)
    n_way = _within(shape.n_way, generator)
    if groups:
        n_way = min(n_way, max(LEAST_WAY, len(eligible)))
    if len(eligible) < n_way:
        raise BadData(
            f"expected at least {n_way} classes of {needed} images or more, got {len(eligible)}"
        )
    n_shot = _within(shape.n_shot, generator)
    picked = torch.randperm(len(eligible), generator=generator)[:n_way].tolist()
    classes, support, query = [], [], []
    for position in picked:
        index = eligible[position]
        order = torch.randperm(counts[index], generator=generator).tolist()
        shots = _within(shape.n_shot, generator) if shape.uneven else n_shot
        classes.append(index)
        support.append(tuple(order[:shots]))
        query.append(tuple(order[shots : shots + shape.n_query]))
    return EpisodePlan(tuple(classes), tuple(support), tuple(query))


def realize(classes: ClassImages, plan: EpisodePlan) -> Episode:
    """Gather the images of a plan; labels are the positions of their classes in it."""
    support_images, support_labels = _gather(classes, plan.classes, plan.support)
    query_images, query_labels = _gather(classes, plan.classes, plan.query)
    return Episode(
        Support(support_images, support_labels, len(plan.classes)), query_images, query_labels
    )


def draw_episode(classes: ClassImages, shape: EpisodeShape, generator: torch.Generator) -> Episode:
    """Plan an episode and gather its images."""
    return realize(classes, classes.plan(shape, generator))


def in_parts(images: Images, most: int | None = None) -> Iterator[torch.Tensor]:
    """The first ``most`` images of a class, or all, in parts of at most `PART_BYTES`."""
    count = max(1, PART_BYTES // (4 * math.prod(images.shape[1:])))
    end = len(images) if most is None else most
    for begin in range(0, end, count):
        yield images[begin : min(end, begin + count)]


def _changed(images: Images, change: Change) -> Images:
    return change(images) if isinstance(images, torch.Tensor) else images.changed(change)


def _to(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    return images.to(device)


def _turned(quarters: int) -> Change:
    return partial(torch.rot90, k=quarters, dims=(-2, -1))


def _of_one_group(
    eligible: Sequence[int], groups: Sequence[str], generator: torch.Generator
) -> list[int]:
    """The eligible classes of a group that is drawn among those that have enough of them."""
    members: dict[str, list[int]] = {}
    for index in eligible:
        members.setdefault(groups[index], []).append(index)
    large = sorted(group for group, own in members.items() if len(own) >= LEAST_WAY)
    if not large:
        return []
    return members[large[_within((0, len(large) - 1), generator)]]


def _gather(
    classes: ClassImages, chosen: Sequence[int], members: Sequence[tuple[int, ...]]
) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.cat(
        [
            classes.images[index][list(positions)]
            for index, positions in zip(chosen, members, strict=True)
        ]
    )
    return images, _labels(members).to(images.device)


def _labels(members: Sequence[tuple[int, ...]]) -> torch.Tensor:
    return torch.tensor([label for label, positions in enumerate(members) for _ in positions])


def _within(bounds: tuple[int, int], generator: torch.Generator) -> int:
    lowest, highest = bounds
    return int(torch.randint(lowest, highest + 1, (), generator=generator))
