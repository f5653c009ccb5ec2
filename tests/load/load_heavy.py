"""The heaviest requests that are read: how long they hold others up, and what memory they take."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import pytest

from ..api.raw import answer
from .heavy import BODIES, IMAGES, MIB, images_in_json, many_images, one_image
from .probe import probing
from .server import ServerProcess, serving

DEADLINE_SECONDS, SPARE_SECONDS = 20, 1
MOST_LIVEZ_MS = 200
MOST_MIB, MOST_MIB_OF_TEN = 400, 1024
TIMEOUT_SECONDS = 120
WARM_CALLS = 3


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, photographs: list[bytes]
) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("heavy")
    with serving(folder, DEADLINE_SECONDS=DEADLINE_SECONDS, SESSION_STORE="memory") as running:
        for _ in range(WARM_CALLS):
            send(running, one_image(photographs[0], photographs[1]))
        yield running


def send(server: ServerProcess, content: bytes) -> int:
    """The status that a request is answered with."""
    place = urlsplit(server.url)
    address = (place.hostname, place.port)
    with socket.create_connection(address, timeout=TIMEOUT_SECONDS) as connection:
        # What is refused early is not read to its end.
        with contextlib.suppress(ConnectionError):
            connection.sendall(content)
        return answer(connection)[0]


def check(server: ServerProcess, name: str, contents: Sequence[bytes], most_mib: int) -> None:
    """Send requests at once, and hold what they cost against the bounds."""
    place = urlsplit(server.url)
    statuses: list[int] = []

    def one(content: bytes) -> None:
        statuses.append(send(server, content))

    at_rest = server.resident_bytes()
    server.forget_peak()
    threads = [threading.Thread(target=one, args=(content,)) for content in contents]
    with probing(place.hostname or "", place.port or 0) as livez:
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spent = time.perf_counter() - began
    grown = (server.peak_bytes() - at_rest) / MIB
    print(
        f"\n{name}: {sorted(statuses)} in {spent:.1f} s, +{grown:.0f} MiB, /livez at most "
        f"{max(livez):.0f} ms"
    )
    assert len(statuses) == len(contents)
    assert all(status in (201, 400, 413, 422, 503, 504) for status in statuses)
    assert grown <= most_mib
    assert len(contents) > 1 or max(livez) <= MOST_LIVEZ_MS
    assert spent <= DEADLINE_SECONDS + SPARE_SECONDS


@pytest.mark.parametrize("name", BODIES)
def test_a_body_holds_nobody_up(server: ServerProcess, name: str) -> None:
    check(server, name, [BODIES[name]()], MOST_MIB)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_holds_nobody_up(
    server: ServerProcess, name: str, photographs: list[bytes]
) -> None:
    check(server, name, [one_image(IMAGES[name](), photographs[0])], MOST_MIB)


def test_many_images_hold_nobody_up(
    server: ServerProcess, photographs: list[bytes], drawings: dict[str, list[bytes]]
) -> None:
    drawn = [content for contents in drawings.values() for content in contents]
    check(server, "1000 photographs", [many_images(photographs)], MOST_MIB)
    check(server, "1000 drawings", [many_images(drawn)], MOST_MIB)
    check(server, "1000 drawings in JSON", [images_in_json(drawn)], MOST_MIB)
    check(server, "1000 drawings and a report", [many_images(drawn, report="true")], MOST_MIB)


@pytest.mark.parametrize("name", BODIES)
def test_ten_bodies_at_once_hold_nobody_up(server: ServerProcess, name: str) -> None:
    check(server, f"ten times {name}", [BODIES[name]()] * 10, MOST_MIB_OF_TEN)


@pytest.mark.parametrize("name", IMAGES)
def test_ten_images_at_once_hold_nobody_up(
    server: ServerProcess, name: str, photographs: list[bytes]
) -> None:
    content = one_image(IMAGES[name](), photographs[0])
    check(server, f"ten times {name}", [content] * 10, MOST_MIB_OF_TEN)


def test_ten_times_many_images_hold_nobody_up(
    server: ServerProcess, photographs: list[bytes]
) -> None:
    check(server, "ten times 1000 photographs", [many_images(photographs)] * 10, MOST_MIB_OF_TEN)
