from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from inkling.engine.handle import Handle
from inkling.engine.work import Classification, Timing
from inkling.service import notices
from inkling.service.adapt import adapt
from inkling.service.decoding import DecodingRoom, Look
from inkling.service.labelled_support import LabelledSupport
from inkling.service.registry import Registry
from inkling.service.service import Service
from inkling.service.values import AdaptCall, SentImage

from .conftest import House

UNLIKE = "unlike_training_data"


class NeverDecoding:
    """A decoder whose threads are busy for good."""

    def of(self, _: str) -> NeverDecoding:
        return self

    async def look(self, *_: Any) -> tuple[list[Look], Any]:
        await asyncio.Event().wait()
        raise AssertionError


def told(service: Service, handle: Handle, seconds: float) -> list[str]:
    async def notice() -> Sequence[Any]:
        deadline = asyncio.get_running_loop().time() + seconds
        images = [SentImage(b"", "a", place) for place in range(2)]
        return await notices.unlike_training_data(service, handle, images, 3.0, "", deadline)

    return [entry.message for entry in asyncio.run(notice()) if entry.code == UNLIKE]


def test_too_little_time_to_look_elsewhere_leaves_the_advice_out(house: House) -> None:
    (handle,) = house.service.registry.by_name.values()
    other = replace(handle, checkpoint=handle.checkpoint.named("other"))
    slow = replace(
        house.service,
        registry=Registry([handle, other]),
        decoding=cast("DecodingRoom", NeverDecoding()),
    )
    (message,) = told(slow, handle, 0.01)
    assert "fits" not in message


def test_classes_of_one_image_and_one_winner_are_told(
    house: House, call: Callable[..., AdaptCall]
) -> None:
    warnings = house.run(adapt, call(("b", "a"), 1)).warnings
    by_code = {notice.code: notice.message for notice in warnings}
    assert "'a', 'b'" in by_code["few_images"]
    assert "'a'" in by_code["one_class_wins"]


def of_copies(pictures: list[list[int]], labels: str) -> dict[str, str]:
    images = [SentImage(b"", label, place) for place, label in enumerate(labels)]
    support = LabelledSupport(list("xy" + labels), images)
    return {notice.code: notice.message for notice in notices.copies(support, pictures)}


def test_pictures_without_copies_are_not_told() -> None:
    assert not of_copies([[0], [1], [2]], "a")


def test_a_picture_under_several_labels_is_told_with_all_its_places() -> None:
    ((code, message),) = of_copies([[0, 3, 4], [1], [2]], "aba").items()
    assert code == "same_image"
    assert message.endswith("several labels: 'a', 'b', 'x' (position 0, 'b'[1], 'a'[2])")


def test_copies_within_a_class_are_told_with_all_their_places() -> None:
    told = of_copies([[0], [1, 3, 5], [2, 4]], "abab")
    assert told["copied_image"] == (
        "copies of one picture in a class: 'b' ('b'[1], 'b'[3]); 'a' ('a'[0], 'a'[2])"
    )
    assert "'b', 'y' (position 1, 'b'[1], 'b'[3])" in told["same_image"]


def test_of_many_copies_the_first_are_named() -> None:
    (message,) = of_copies([[2 * n, 2 * n + 1] for n in range(1, 21)], "a" * 40).values()
    assert message.endswith("'a' ('a'[8], 'a'[9]) and 15 more pictures")
    (message,) = of_copies([list(range(2, 22))], "a" * 20).values()
    assert message.endswith("'a'[4] and 15 more)")


@pytest.mark.parametrize(("blank", "told_of"), [([True, False], ["'a'[3]"]), ([False, False], [])])
def test_blank_images_are_told_by_field_and_place(blank: list[bool], told_of: list[str]) -> None:
    images = [SentImage(b"", "a", 3), SentImage(b"", "b", 0)]
    messages = [notice.message for notice in notices.blank_images(images, blank)]
    assert messages == [f"{place} shows nothing" for place in told_of]


def of_queries(unlikeness: Sequence[float] | None, blank: Sequence[bool]) -> list[str]:
    images = [SentImage(b"", "image", place) for place in range(len(blank))]
    classified = Classification([([1.0], None)] * len(blank), blank, unlikeness, Timing())
    found = notices.unlike_queries("omniglot", images, classified)
    assert all(notice.code == UNLIKE for notice in found)
    return [notice.message for notice in found]


def test_queries_unlike_the_training_data_are_told_each_by_itself() -> None:
    (message,) = of_queries([0.9, 3.0, 1.0, 1.5, 9.0], [False, False, False, False, True])
    assert "'omniglot'" in message
    assert "up to 3.0 times" in message
    assert message.endswith(": 'image'[1], 'image'[3]"), "a blank image is told as such"


def test_of_many_queries_the_first_are_named() -> None:
    (message,) = of_queries([2.0] * 25, [False] * 25)
    assert message.endswith("'image'[9] and 15 more")


@pytest.mark.parametrize("unlikeness", [None, [1.0, 0.2]])
def test_queries_like_the_training_data_are_not_told(unlikeness: list[float] | None) -> None:
    assert not of_queries(unlikeness, [False, False])
