from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from inkling.errors import InvalidInput, PreconditionFailed, SessionNotFound, SupportNotKept
from inkling.service.adapt import adapt
from inkling.service.add_images import add_images
from inkling.service.values import AdaptCall

from .conftest import House

Calls = Callable[..., AdaptCall]


def test_added_images_come_behind_the_kept_ones(house: House, call: Calls) -> None:
    session = house.run(adapt, call(("b", "c"), 2, steps=3)).session
    grown = house.run(add_images, session.id, call(("a", "c"), 1)).session
    assert (grown.labels, grown.image_counts) == (("a", "b", "c"), (1, 2, 3))
    assert (grown.version, grown.steps) == (2, 3)
    support = house.engine.supports[-1]
    assert support.labels.tolist() == [1, 1, 2, 2, 0, 2]
    assert support.kept is not None
    assert len(support.kept) == 4
    assert house.service.sessions.read(session.id, "").version == 2


def test_additions_at_once_go_one_after_the_other(house: House, call: Calls) -> None:
    session_id = house.run(adapt, call()).session.id

    async def several() -> list[Any]:
        labels = ("c", "d", "e", "f")
        calls = [add_images(house.service, session_id, call((label,), 1)) for label in labels]
        return await asyncio.gather(*calls)

    versions = sorted(added.session.version for added in asyncio.run(several()))
    assert versions == [2, 3, 4, 5]
    assert house.service.sessions.read(session_id, "").labels == tuple("abcdef")


def test_a_version_that_is_not_meant_is_refused(house: House, call: Calls) -> None:
    session_id = house.run(adapt, call()).session.id
    with pytest.raises(PreconditionFailed):
        house.run(add_images, session_id, call(("c",), 1), if_match=frozenset({"2"}))
    house.run(add_images, session_id, call(("c",), 1), if_match=frozenset({"1"}))


def test_a_session_without_its_support_set_cannot_grow(house: House, call: Calls) -> None:
    session_id = house.run(adapt, call(keep_support=False)).session.id
    with pytest.raises(SupportNotKept):
        house.run(add_images, session_id, call(("c",), 1))


def test_kept_images_count_towards_the_most_that_a_session_may_have(
    open_house: Callable[..., House], call: Calls
) -> None:
    house = open_house(max_support_images=5)
    session_id = house.run(adapt, call()).session.id
    with pytest.raises(InvalidInput, match="4 of them kept"):
        house.run(add_images, session_id, call(("c",), 2))
    assert house.service.sessions.read(session_id, "").version == 1


def test_nobody_adds_to_a_session_of_somebody_else(house: House, call: Calls) -> None:
    session_id = house.run(adapt, call()).session.id
    stranger = AdaptCall(call(("c",), 1).images, tenant="stranger")
    with pytest.raises(SessionNotFound):
        house.run(add_images, session_id, stranger)
