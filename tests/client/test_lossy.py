"""Whatever becomes of a connection, nothing is done twice, and the right answer comes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from inkling import (
    AnswerLost,
    Client,
    LimitReached,
    NotFound,
    RequestRefused,
    Retries,
    ServerBusy,
    ServerFault,
    ServerUnreachable,
    TimedOut,
    TookTooLong,
    Unauthorised,
)

from . import proxy as harm
from .either import BOTH
from .proxy import Fault, between

Opened = Callable[..., AbstractContextManager[Any]]
Drawings = dict[str, list[bytes]]
NAMES = ("Keble_01", "Tibetan_01", "Tengwar_01")
AT_ONCE = Retries(first_seconds=0)
SHORT, LONG = 1.0, 60.0
"""Seconds after which a client gives up: on what never comes, and on what a busy machine
answers late."""
OF_CONNECTIONS = (
    harm.refused,
    harm.request_cut,
    harm.answer_lost,
    harm.answer_cut_in_its_head,
    harm.answer_cut_in_its_body,
    harm.answer_cut_and_no_length_told,
)
OF_ROOM = (harm.STILL_RUNNING, harm.FULL, harm.AT_A_LIMIT)
pytestmark = pytest.mark.parametrize("opened", BOTH)


@pytest.fixture
def support(drawings: Drawings) -> Drawings:
    return {name: drawings[name][:3] for name in NAMES}


def sessions_of(server: str) -> set[str]:
    with Client(server) as inkling:
        return {each.session_id for each in inkling.sessions()}


@pytest.mark.parametrize("fault", [*OF_CONNECTIONS, *OF_ROOM])
def test_a_session_is_made_once_and_predicts_well(
    server: str, drawings: Drawings, support: Drawings, opened: Opened, fault: Fault
) -> None:
    before = sessions_of(server)
    faults = {"POST /adapt": [fault, fault], "POST /predict": [fault]}
    with between(server, faults) as proxy, opened(proxy.url, retries=AT_ONCE) as inkling:
        session = inkling.adapt(support)
        assert sessions_of(server) - before == {session.session_id}
        found = session.predict([drawings[name][9] for name in NAMES])
        assert [each.label for each in found] == list(NAMES)
        assert proxy.seen["POST /adapt"] == 3
        session.delete()


@pytest.mark.parametrize("fault", [*OF_CONNECTIONS, harm.STILL_RUNNING])
def test_images_are_added_once(
    server: str, drawings: Drawings, support: Drawings, opened: Opened, fault: Fault
) -> None:
    with (
        between(server, {"POST /sessions/*/support": [fault]}) as proxy,
        opened(proxy.url, retries=AT_ONCE) as inkling,
        inkling.adapt(support) as session,
    ):
        session.add({NAMES[0]: drawings[NAMES[0]][3:5]})
        told = inkling.session(session.session_id)
        assert told.version == session.info.version == 2
        assert told.images == {NAMES[0]: 5, NAMES[1]: 3, NAMES[2]: 3}


@pytest.mark.parametrize("fault", [harm.answer_too_late, harm.not_answered_in_time])
def test_a_call_that_timed_out_is_done_once(
    server: str, support: Drawings, opened: Opened, fault: Fault
) -> None:
    before = sessions_of(server)
    with (
        between(server, {"POST /adapt": [fault, harm.STILL_RUNNING]}) as proxy,
        opened(proxy.url, timeout_seconds=SHORT, retries=AT_ONCE) as inkling,
        inkling.adapt(support) as session,
    ):
        assert sessions_of(server) - before == {session.session_id}


def test_a_deletion_whose_answer_is_lost_has_been_done(
    server: str, support: Drawings, opened: Opened
) -> None:
    faults = {"DELETE /sessions/*": [harm.answer_lost]}
    with between(server, faults) as proxy, opened(proxy.url, retries=AT_ONCE) as inkling:
        session = inkling.adapt(support)
        session.delete()
        assert session.session_id not in sessions_of(server)
        with pytest.raises(NotFound):
            session.delete()


def test_what_stays_away_is_told_as_what_it_is(
    server: str, support: Drawings, opened: Opened
) -> None:
    twice = Retries(times=1, first_seconds=0)
    kinds: dict[type[Exception], Fault] = {
        AnswerLost: harm.answer_lost,
        TimedOut: harm.not_answered_in_time,
        ServerBusy: harm.FULL,
        LimitReached: harm.AT_A_LIMIT,
    }
    for kind, fault in kinds.items():
        faults = {"POST /adapt": [fault, fault]}
        with (
            between(server, faults) as proxy,
            opened(
                proxy.url, timeout_seconds=SHORT if kind is TimedOut else LONG, retries=twice
            ) as inkling,
            pytest.raises(kind),
        ):
            inkling.adapt(support)


def test_what_will_not_pass_is_not_tried_again(
    server: str, support: Drawings, opened: Opened
) -> None:
    kinds: dict[type[RequestRefused], Fault] = {
        Unauthorised: harm.problem(401, "unknown-caller"),
        TookTooLong: harm.problem(504, "deadline-exceeded"),
        ServerFault: harm.problem(500, "internal-error"),
    }
    for kind, fault in kinds.items():
        faults = {"POST /adapt": [fault]}
        with (
            between(server, faults) as proxy,
            opened(proxy.url, retries=AT_ONCE) as inkling,
            pytest.raises(kind) as raised,
        ):
            inkling.adapt(support)
        assert raised.value.problem["title"] == raised.value.kind
        assert proxy.seen["POST /adapt"] == 1


def test_a_server_of_another_kind_is_told(server: str, opened: Opened) -> None:
    def page(_: harm.Exchange) -> bytes:
        return b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<p>Welcome"

    with (
        between(server, {"GET /initializations": [page]}) as proxy,
        opened(proxy.url, retries=AT_ONCE) as inkling,
        pytest.raises(ServerUnreachable, match=r"expected JSON, .* got 'text/html'"),
    ):
        inkling.initializations()


def test_a_server_that_is_gone_is_told(opened: Opened) -> None:
    with opened("http://127.0.0.1:9", retries=AT_ONCE) as inkling, pytest.raises(AnswerLost):
        inkling.initializations()
