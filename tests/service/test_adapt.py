from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from inkling.errors import (
    DeadlineExceeded,
    IdempotencyKeyReused,
    InnerLoopDiverged,
    InvalidInput,
    SessionNotFound,
    Unavailable,
)
from inkling.service.adapt import adapt
from inkling.service.values import AdaptCall, Adapted, Keyed, Replayed, SentImage

from .conftest import House

Calls = Callable[..., AdaptCall]
EMPTY = (0, 0)


def keyed(key: str = "once") -> Keyed[Adapted]:
    return Keyed(key, "POST /adapt", 201, lambda adapted: adapted.session.id.encode())


def test_a_session_is_stored_with_its_classes_in_sorted_order(house: House, call: Calls) -> None:
    adapted = house.run(adapt, call(("b", "a"), 3, ttl_seconds=60, steps=2))
    session = house.service.sessions.read(adapted.session.id, "")
    assert (session.labels, session.image_counts, session.steps) == (("a", "b"), (3, 3), 2)
    assert session.expires_at == house.clock.now + 60
    kept = house.service.sessions.support_of(session)
    assert kept is not None
    assert kept.labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert len(adapted.losses) == 3


def test_a_session_ends_by_the_clock(house: House, call: Calls) -> None:
    session_id = house.run(adapt, call(ttl_seconds=60)).session.id
    house.clock.now += 60
    with pytest.raises(SessionNotFound):
        house.service.sessions.read(session_id, "")


def test_every_problem_is_listed_and_nothing_is_stored(house: House, call: Calls) -> None:
    sent = call(steps=1000, ttl_seconds=0.1)
    bad = [*sent.images, SentImage(b"no image", "c", 0, " \n")]
    with pytest.raises(InvalidInput) as refused:
        house.run(adapt, replace(sent, images=bad))
    codes = [problem.code for problem in refused.value.problems]
    assert codes == ["out_of_range", "out_of_range", "bad_label"]
    with pytest.raises(InvalidInput) as refused:
        house.run(adapt, replace(sent, images=[replace(image, content=b"") for image in bad]))
    assert [problem.code for problem in refused.value.problems].count("empty") == 4
    assert (house.engine.supports, house.store.usage()) == ([], EMPTY)


def test_a_label_is_measured_before_its_marks_are_put_in_order(house: House, call: Calls) -> None:
    """Which takes half a minute for so many, and would leave out the first of them."""
    marks = "a" + "\u0301\u0323" * 128_000
    sent = call()
    with pytest.raises(InvalidInput) as refused:
        house.run(adapt, replace(sent, images=[*sent.images, SentImage(b"", "c", 0, marks)]))
    told = [problem.message for problem in refused.value.problems if problem.code == "bad_label"]
    assert told == ["expected a label of 1 to 100 characters, got 256001"]
    composed = "e\u0302\u0323" * 100
    images = [replace(image, label=composed) for image in sent.images[:2]]
    labels = house.run(adapt, replace(sent, images=[*images, *sent.images])).session.labels
    assert "\u1ec7" * 100 in labels


@pytest.mark.parametrize("failure", [InnerLoopDiverged(1, 0.0), Unavailable("full", 1)])
def test_what_the_engine_refuses_is_the_answer_and_nothing_is_stored(
    house: House, call: Calls, failure: Exception
) -> None:
    house.engine.failure = failure
    with pytest.raises(type(failure)):
        house.run(adapt, call(keyed=keyed()))
    assert house.store.usage() == EMPTY
    house.engine.failure = None
    assert house.run(adapt, call(keyed=keyed())).answer is not None


def test_nothing_is_kept_for_a_caller_whose_time_is_over(
    open_house: Callable[..., House], call: Calls
) -> None:
    house = open_house(deadline_seconds=0.01)
    house.engine.held = True
    with pytest.raises(DeadlineExceeded, match="adapting"):
        house.run(adapt, call())
    (job,) = house.engine.jobs
    assert job.cancelled()
    assert house.store.usage() == EMPTY


def test_a_repeated_call_gets_the_answer_of_the_first_and_makes_no_second_session(
    house: House, call: Calls
) -> None:
    first = house.run(adapt, call(keyed=keyed()))
    assert house.run(adapt, call(keyed=keyed())) == Replayed(201, first.answer)
    assert house.store.usage()[0] == len(house.engine.supports) == 1


def test_a_key_belongs_to_one_content(house: House, call: Calls) -> None:
    house.run(adapt, call(keyed=keyed()))
    with pytest.raises(IdempotencyKeyReused):
        house.run(adapt, call(number=1, keyed=keyed()))


def test_a_key_whose_session_is_gone_is_no_answer(house: House, call: Calls) -> None:
    session_id = house.run(adapt, call(keyed=keyed())).session.id
    # The first half of a deletion: the session is still in the cache.
    assert house.store.delete(session_id)
    with pytest.raises(SessionNotFound):
        house.run(adapt, call(keyed=keyed()))


def test_a_key_is_forgotten_after_a_day(house: House, call: Calls) -> None:
    first: Any = house.run(adapt, call(keyed=keyed(), ttl_seconds=86_400))
    house.clock.now += 86_401
    assert house.run(adapt, call(keyed=keyed())).session.id != first.session.id


def test_a_server_that_may_not_keep_support_sets_does_not(
    open_house: Callable[..., House], call: Calls
) -> None:
    house = open_house(may_keep_support=False)
    session = house.run(adapt, call()).session
    assert not session.keeps_support
    assert house.service.sessions.support_of(session) is None
    with pytest.raises(InvalidInput, match="keep_support"):
        house.run(adapt, call(keep_support=True))
