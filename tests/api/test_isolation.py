"""What a caller learns of sessions that are not its own, and what the log tells of anybody's."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from inkling.api import request_log
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.service.under_way import SessionLocks
from inkling.settings import Settings

from ..sessions.sample import Clock
from .raw import answers, connected, form
from .test_conversation import Drawings, adapt

KEYS = {"one": "quincesandmedlars", "two": "key-of-two-12345678"}
LABELS = ("zucchini", "rhubarb")
WRONG = "damsonsandsloesxx"
CREDENTIALS = {
    "no key": b"",
    "a wrong key": b"Authorization: Bearer " + WRONG.encode(),
    "a key of another scheme": b"Authorization: Basic " + KEYS["one"].encode(),
}
GUESSED = "A" * 32
MISTYPED = (
    "/{word}",
    "/{word}/",
    "/v1/{word}",
    "/session/{word}",
    "/sessions{word}",
    "/sessions/{word}/predict",
    "/sessions/{word}/",
    "//sessions/{word}",
    "/v1/v1/sessions/{word}",
    "/Sessions/{word}",
    "/predict/{word}",
    "/adapt/{word}",
    "/problems/{word}",
    "/docs/{word}",
    "/docs/assets/{word}",
    "/sessions/x%2F{word}%0A{word}",
    "/sessions?after={word}",
    "/sessions?{word}={word}",
    "/livez?{word}",
    "/{word}?session_id={word}",
)


@dataclass(frozen=True)
class Place:
    """A server that asks for keys, and what was done there."""

    url: str
    live: str
    gone: dict[str, str]
    """Ids of sessions that a caller may not have, by what they are."""
    image: bytes

    @property
    def secrets(self) -> list[str]:
        return [self.live, *self.gone.values(), *KEYS.values(), WRONG, *LABELS]


@pytest.fixture(scope="module", params=["text", "json"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, drawings: Drawings
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("isolation")
    keys = folder / "keys"
    keys.write_text("".join(f"{tenant} {key}\n" for tenant, key in KEYS.items()))
    settings = Settings(
        api_keys_file=keys,
        session_folder=folder / "state",
        initializations=("omniglot",),
        workers=1,
        log_format=request.param,
        trusted_proxies=("127.0.0.1",),
    )
    clock = Clock()
    with (
        local_server(create_app(settings, clock)) as url,
        httpx.Client(
            base_url=url,
            timeout=60,
            trust_env=False,
            headers={"Authorization": f"Bearer {KEYS['one']}"},
        ) as one,
    ):
        support = dict(zip(LABELS, ([images[0]] for images in drawings.values()), strict=False))
        live, expired, deleted = (
            adapt(one, support, ttl_seconds=seconds)["session_id"] for seconds in (3600, 1, 3600)
        )
        assert one.delete(f"/sessions/{deleted}").status_code == 204
        clock.now += 10
        gone = {"expired": expired, "deleted": deleted, "guessed": GUESSED}
        yield Place(url, live, gone, next(iter(support.values()))[0])


def asked(url: str, line: str, *headers: bytes, body: bytes = b"", address: str = "") -> bytes:
    """The bytes of an answer, but for its date."""
    sent = [
        f"{line} HTTP/1.1".encode(),
        b"Host: 127.0.0.1",
        b"X-Request-Id: asked",
        b"Connection: close",
        b"X-Forwarded-For: " + (address or "127.0.0.1").encode(),
        b"Content-Length: %d" % len(body),
        *[header for header in headers if header],
    ]
    with connected(url) as connection:
        connection.sendall(b"\r\n".join([*sent, b"", body]))
        head, _, content = answers(connection).partition(b"\r\n\r\n")
    kept = [told for told in head.split(b"\r\n") if not told.lower().startswith(b"date:")]
    return b"\r\n".join([*kept, b"", content])


def bearer(tenant: str) -> bytes:
    return b"Authorization: Bearer " + KEYS[tenant].encode()


def bodies(route: str, session_id: str, image: bytes) -> dict[str, tuple[bytes, bytes]]:
    """Bodies by what they are, with their Content-Types: good ones, and ones that are refused."""
    encoded = base64.b64encode(image).decode()
    if route == "/predict":
        asking: dict[str, object] = {"session_id": session_id, "images": [encoded]}
        good = form([("image", image)], session_id=session_id)
        broken = form([("image", b"no image")], session_id=session_id, top_k="0")
        odd: dict[str, object] = {**asking, "images": ["~"]}
    elif route.endswith("/report"):
        asking, good = {"embedding": True}, form([], embedding="true")
        odd, broken = {"steps": "one"}, form([], steps="one")
    else:
        field = "queries" if route.endswith("/evaluate") else "support"
        asking = {field: [{"label": LABELS[0], "image": encoded}]}
        good = form([(LABELS[0], image)])
        broken = form([("another", b"no image")])
        odd = {field: [{"label": "\u0007", "image": "~"}]}
    kind = b"application/json"
    return {
        "a form": good,
        "JSON": (kind, json.dumps(asking).encode()),
        "a form with faults": broken,
        "JSON with faults": (kind, json.dumps(odd).encode()),
        "no form": (good[0], b"--edge"),
        "no JSON": (kind, b"{"),
    }


def calls_on_sessions(place: Place) -> list[tuple[str, str]]:
    """Method and path of all routes that take an id of a session."""
    described = json.loads(asked(place.url, "GET /openapi.json").partition(b"\r\n\r\n")[2])
    return [
        (method.upper(), path)
        for path, item in described["paths"].items()
        for method in item
        if "{session_id}" in path or path == "/predict"
    ]


def told_of(place: Place, method: str, route: str, session_id: str, who: str) -> dict[str, bytes]:
    """The answers to a call on a session in all its forms."""
    lines = {
        version: f"{method} {version}{route.format(session_id=session_id, position=0)}"
        for version in ("", "/v1")
    }
    if method != "POST":
        odd = f"{lines['']}?{LABELS[0]}=1"
        return {line: asked(place.url, lines[line], bearer(who)) for line in lines} | {
            "a query": asked(place.url, odd, bearer(who)),
            "no body": asked(place.url, lines[""], bearer(who), b'If-Match: "7"'),
        }
    return {
        f"{version} {name} {extra!r}": asked(
            place.url, line, bearer(who), b"Content-Type: " + kind, extra, body=body
        )
        for version, line in lines.items()
        for name, (kind, body) in bodies(route, session_id, place.image).items()
        for extra in (b"", b'If-Match: "7"', b"Idempotency-Key: once")
    }


@contextlib.contextmanager
def logged() -> Iterator[list[str]]:
    """All that a server logs while this runs."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root, kept = logging.getLogger(), Kept()
    kept.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    level = root.level
    root.addHandler(kept)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.removeHandler(kept)
        root.setLevel(level)


def test_sessions_of_others_are_as_if_they_had_never_been(place: Place) -> None:
    calls = calls_on_sessions(place)
    assert len(calls) >= 5
    for method, route in calls:
        told = {name: told_of(place, method, route, i, "one") for name, i in place.gone.items()}
        told["of another tenant"] = told_of(place, method, route, place.live, "two")
        expected = told["guessed"]
        well_formed = [name for name in expected if "fault" not in name and "no " not in name]
        assert well_formed
        for name in {*well_formed} - {"a query"}:
            assert expected[name].startswith(b"HTTP/1.1 404"), (method, route, name)
            assert b"/problems/session-not-found" in expected[name]
        for name, found in told.items():
            assert found == expected, (method, route, name)
    assert asked(place.url, f"GET /sessions/{place.live}", bearer("one")).startswith(
        b"HTTP/1.1 200"
    )


def test_nobody_waits_for_calls_on_a_session_of_another_tenant() -> None:
    async def both() -> None:
        locks = SessionLocks()
        async with locks.of("id", "one"), asyncio.timeout(5), locks.of("id", "two"):
            pass

    asyncio.run(both())


def test_without_a_good_key_every_route_says_the_same(place: Place) -> None:
    described = httpx.get(f"{place.url}/openapi.json", trust_env=False).json()
    calls = [
        (method.upper(), path)
        for path, item in described["paths"].items()
        for method, operation in item.items()
        if "401" in operation["responses"]
    ]
    assert len(calls) >= 9
    for n, (name, sent) in enumerate(CREDENTIALS.items()):
        told = set()
        for m, (method, route) in enumerate(calls):
            for session_id in (place.live, *place.gone.values()):
                line = f"{method} {route.format(session_id=session_id, position=0)}"
                kind, body = bodies(route, session_id, place.image)["a form"]
                address = f"10.0.{n}.{m}"
                headers = (sent, b"Content-Type: " + kind) if method == "POST" else (sent,)
                body = body if method == "POST" else b""
                told.add(asked(place.url, line, *headers, body=body, address=address))
        (answer,) = told
        assert answer.startswith(b"HTTP/1.1 401"), name
        assert b"/problems/unknown-caller" in answer


def test_a_list_has_the_callers_own_sessions_alone(place: Place) -> None:
    listed = asked(place.url, "GET /sessions?limit=1", bearer("one")).partition(b"\r\n\r\n")[2]
    assert [entry["session_id"] for entry in json.loads(listed)["sessions"]] == [place.live]
    for line in ("GET /sessions", "GET /sessions?limit=500"):
        told = asked(place.url, line, bearer("two"))
        assert json.loads(told.partition(b"\r\n\r\n")[2]) == {"sessions": [], "next": None}


def test_no_line_of_the_log_tells_an_id_a_key_or_a_label(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "LINES_PER_SECOND", math.inf)
    with logged() as lines:
        for who in KEYS:
            for method, route in calls_on_sessions(place):
                told_of(place, method, route, place.live, "two")
                told_of(place, method, route, place.gone["guessed"], who)
        for n, word in enumerate(place.secrets):
            for path in MISTYPED:
                for method in ("GET", "POST"):
                    line = f"{method} {path.format(word=word)}"
                    asked(place.url, line, bearer("one"), b"Origin: http://" + word.encode())
                    asked(place.url, line, b"Cookie: " + word.encode(), address=f"10.1.{n}.1")
            asked(place.url, f"{word} /{word}", bearer("one"))
            asked(place.url, f"GET /{word} {word}", bearer("one"))
            asked(place.url, f"GET /sessions/{word}", b"Authorization: " + word.encode())
    assert len(lines) > 10 * len(MISTYPED)
    for line in lines:
        assert not any(secret.lower() in line.lower() for secret in place.secrets), line
