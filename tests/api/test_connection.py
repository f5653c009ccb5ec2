"""Connections within bounds: heads, upgrades, requests sent ahead, bodies behind an answer."""

from __future__ import annotations

import contextlib

import httpx
import pytest
from inkling.api.connection import MAX_PIPELINED
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings

from .raw import answer, answers, connected, form, request

Drawings = dict[str, list[bytes]]
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture
def support(drawings: Drawings) -> tuple[bytes, bytes]:
    return form([("a", drawings["Keble_01"][0]), ("b", drawings["Ge_ez_01"][0])])


@pytest.mark.parametrize("offer", [b"h2c", b"TLS/1.2", b"websocket"])
@pytest.mark.parametrize("cut", [0, 20, -5])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_offer_to_upgrade_is_passed_over(
    server: str, support: tuple[bytes, bytes], offer: bytes, cut: int, chunked: bool
) -> None:
    kind, body = support
    upgrade = (
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: " + offer,
        b"HTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA",
    )
    whole = request("/adapt", kind, body, *upgrade)
    if chunked:
        head = request("/adapt", kind, b"", *upgrade, b"Transfer-Encoding: chunked")
        head = head.replace(b"Content-Length: 0\r\n", b"")
        whole = head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with connected(server) as connection:
        place = cut if cut <= 0 else whole.index(b"\r\n\r\n") + cut
        for part in (whole[:place], whole[place:]) if place else (whole,):
            connection.sendall(part)
        status, told = answer(connection)
        assert status == 201, told
        connection.sendall(LIVEZ)
        assert answer(connection)[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, 431),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: x\r\n" * 20_000 + b"\r\n", 431),
        (b"GET /" + b"x" * 70_000, 431),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"what is this\r\n\r\n", 400),
    ],
)
def test_a_head_that_is_refused(server: str, head: bytes, status: int) -> None:
    with connected(server) as connection:
        connection.sendall(head)
        told = answers(connection)
    assert told.startswith(b"HTTP/1.1 %d" % status)
    assert b"application/problem+json" in told


def test_requests_sent_ahead_are_bounded(server: str) -> None:
    with connected(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(LIVEZ * 10_000)
        told = answers(connection)
    assert 1 <= told.count(b"HTTP/1.1 200") <= 2 * MAX_PIPELINED


@pytest.mark.parametrize("header", [b"Connection: close", b"X-Nothing: special"])
def test_an_answer_before_the_body_reaches_who_still_sends(server: str, header: bytes) -> None:
    body = b"x" * 5_000_000
    head = request("/adapt", b"text/plain", body, header)[: -len(body)]
    with connected(server) as connection:
        connection.sendall(head)
        for start in range(0, len(body), 100_000):
            connection.sendall(body[start : start + 100_000])
        status, told = answer(connection)
    assert status == 415
    assert told["type"] == "/problems/unsupported-media-type"


def test_a_content_length_of_thousands_of_digits(server: str) -> None:
    with connected(server) as connection:
        connection.sendall(
            b"POST /adapt HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: " + b"9" * 5001 + b"\r\n\r\n{}"
        )
        assert answers(connection).startswith(b"HTTP/1.1 400")


def test_idle_connections_give_way_to_new_ones() -> None:
    settings = Settings(max_connections=10, session_store="memory", workers=1)
    with local_server(create_app(settings)) as url, contextlib.ExitStack() as opened:
        for _ in range(50):
            opened.enter_context(connected(url))
        with httpx.Client(base_url=url, trust_env=False) as http:
            assert http.get("/livez").status_code == 200
            told = http.get("/metrics").text
    assert "inkling_connections_given_up_total 4" in told


def test_head_is_answered_as_get_is(http: httpx.Client) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/initializations", "/sessions", "/docs"):
        response = http.head(path)
        assert (response.status_code, response.content) == (200, b"")
    assert http.head("/adapt").status_code == 405
