"""Bad input over a real socket: told what is wrong, and the next good request works."""

from __future__ import annotations

import base64
import os
import resource
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from inkling.api.problems import ALL_KINDS
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings
from PIL import Image

from ..pictures import huge_png, saved

Drawings = dict[str, list[bytes]]


@pytest.fixture
def good(drawings: Drawings) -> list[tuple[str, bytes]]:
    return [("a", drawings["Keble_01"][0]), ("b", drawings["Ge_ez_01"][0])]


@pytest.fixture(autouse=True)
def _the_next_good_request_works(
    http: httpx.Client, good: list[tuple[str, bytes]]
) -> Iterator[None]:
    yield
    assert post(http, good).status_code == 201


def post(http: httpx.Client, fields: list[tuple[str, bytes]], **options: Any) -> httpx.Response:
    files = [(label, (f"{label}.png", content)) for label, content in fields]
    return http.post("/adapt", files=files or None, data=options)


def problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert told["type"] == f"/problems/{name}"
    assert told["status"] == status
    assert told["request_id"] == response.headers["x-request-id"]
    return told


def culprits(response: httpx.Response) -> list[tuple[str, str | None, int | None]]:
    told = problem(response, 422, "invalid-input")
    return [(item["code"], item.get("field"), item.get("index")) for item in told["problems"]]


def test_no_images(http: httpx.Client) -> None:
    response = http.post("/adapt", files={"steps": (None, "3")})
    assert culprits(response) == [("no_images", None, None)]


def test_one_class(http: httpx.Client, good: list[tuple[str, bytes]]) -> None:
    response = post(http, [good[0], good[0]])
    assert culprits(response) == [("number_of_classes", None, None)]
    assert "got 1" in response.json()["detail"]


def test_all_bad_images_are_listed_and_nothing_is_stored(
    http: httpx.Client, good: list[tuple[str, bytes]], drawings: Drawings
) -> None:
    truncated = saved(Image.effect_noise((64, 64), 50), "JPEG")[:900]
    fields = [
        *good,
        ("a", b"just some text"),
        ("a", drawings["Keble_01"][1]),
        ("a", b""),
        ("b", os.urandom(10_000_000)),
        ("b", truncated),
    ]
    assert culprits(post(http, fields)) == [
        ("not_an_image", "a", 1),
        ("empty", "a", 3),
        ("not_an_image", "b", 1),
        ("damaged", "b", 2),
    ]


def test_bad_options_and_bad_images_are_listed_together(
    http: httpx.Client, good: list[tuple[str, bytes]]
) -> None:
    response = post(http, [*good, ("b", b"text")], steps=1000, colour="red", ttl_seconds="soon")
    assert sorted(culprits(response)) == [
        ("not_a_number", "ttl_seconds", None),
        ("not_an_image", "b", 1),
        ("out_of_range", "steps", None),
        ("unknown_option", "colour", None),
    ]


@pytest.mark.parametrize(("text", "steps"), [("2", 2), ("2.0", 2), ("0.2e1", 2), ("", 5)])
def test_a_whole_number_may_be_written_as_in_json(
    http: httpx.Client, good: list[tuple[str, bytes]], text: str, steps: int
) -> None:
    response = post(http, good, steps=text)
    assert response.status_code == 201, response.text
    assert response.json()["steps"] == steps


@pytest.mark.parametrize(
    ("text", "code"),
    [("9" * 25, "out_of_range"), ("1e99", "out_of_range"), ("2.5", "not_a_number")],
)
def test_a_number_is_refused_for_what_it_is(
    http: httpx.Client, good: list[tuple[str, bytes]], text: str, code: str
) -> None:
    assert culprits(post(http, good, steps=text)) == [(code, "steps", None)]


def test_a_huge_png_is_refused_without_its_memory(
    http: httpx.Client, good: list[tuple[str, bytes]]
) -> None:
    bomb = huge_png(13_000)
    post(http, good)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    response = post(http, [*good, ("b", bomb)])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    assert culprits(response) == [("too_many_pixels", "b", 1)]


def test_an_unknown_session(http: httpx.Client, good: list[tuple[str, bytes]]) -> None:
    response = http.post(
        "/predict", data={"session_id": "x"}, files=[("image", ("q.png", good[0][1]))]
    )
    problem(response, 404, "session-not-found")


def test_predict_without_a_session_or_with_a_label_for_a_field(
    http: httpx.Client, good: list[tuple[str, bytes]]
) -> None:
    response = http.post("/predict", files=[("cat", ("q.png", good[0][1]))])
    assert culprits(response) == [
        ("unknown_field", "cat", None),
        ("missing", "session_id", None),
    ]


def test_an_image_that_came_as_text_is_told_how_to_send_it(
    http: httpx.Client, good: list[tuple[str, bytes]]
) -> None:
    response = post(http, good, cat="@1.png,2.png")
    assert culprits(response) == [("unknown_option", "cat", None)]
    assert "-F cat=@1.png" in response.json()["problems"][0]["message"]


@pytest.mark.parametrize("label", ["x" * 101, "   ", "a\x07b"])
def test_a_label_that_cannot_be_used(
    http: httpx.Client, good: list[tuple[str, bytes]], label: str
) -> None:
    body = {
        "support": [
            {"label": name, "image": base64.b64encode(content).decode()}
            for name, content in [*good, (label, good[0][1])]
        ]
    }
    assert culprits(http.post("/adapt", json=body)) == [("bad_label", "support", 2)]


def test_broken_base64(http: httpx.Client, good: list[tuple[str, bytes]]) -> None:
    whole = base64.b64encode(good[0][1]).decode()
    body = {
        "support": [
            {"label": "a", "image": whole},
            {"label": "b", "image": whole[:-3]},
            {"label": "b", "image": "not base64!"},
        ]
    }
    assert culprits(http.post("/adapt", json=body)) == [
        ("broken_base64", "support", 1),
        ("broken_base64", "support", 2),
    ]


def test_json_of_another_shape_is_told_and_never_echoed(http: httpx.Client) -> None:
    mine = "do not repeat me"
    response = http.post("/adapt", json={"support": mine, "step": 1})
    assert {(field) for _, field, _ in culprits(response)} == {"support", "step"}
    assert mine not in response.text
    problem(http.post("/adapt", json=None, content=b"{", headers=JSON), 400, "malformed-body")


JSON = {"Content-Type": "application/json"}


def test_a_form_without_its_final_boundary_loses_no_image_in_silence(
    http: httpx.Client, good: list[tuple[str, bytes]]
) -> None:
    request = http.build_request(
        "POST", "/adapt", files=[(label, (label, content)) for label, content in good]
    )
    whole = request.read()
    headers = {"Content-Type": request.headers["content-type"]}
    for cut in (4, 40, len(whole) // 2):
        response = http.post("/adapt", content=whole[:-cut], headers=headers)
        assert "closing boundary" in problem(response, 400, "malformed-body")["detail"]


def test_a_form_that_closes_twice_loses_no_image_in_silence(
    http: httpx.Client, good: list[tuple[str, bytes]]
) -> None:
    request = http.build_request("POST", "/adapt", files=[(n, (n, c)) for n, c in good])
    headers = {"Content-Type": request.headers["content-type"]}
    response = http.post("/adapt", content=request.read() * 2, headers=headers)
    assert "once, at the end" in problem(response, 400, "malformed-body")["detail"]


def test_an_image_that_ends_like_a_form_does_not_end_it(
    http: httpx.Client, good: list[tuple[str, bytes]]
) -> None:
    parts = b"".join(
        b"--XX\r\nContent-Disposition: form-data; name=%s; filename=x\r\n\r\n%s\r\n"
        % (name.encode(), content + b"--XX--")
        for name, content in good
    )
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    cut = http.post("/adapt", content=parts[:-2], headers=headers)
    assert "closing boundary" in problem(cut, 400, "malformed-body")["detail"]
    assert http.post("/adapt", content=parts + b"--XX--", headers=headers).status_code == 201


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "punycode", "undefined"])
def test_a_form_in_another_charset(
    http: httpx.Client, good: list[tuple[str, bytes]], charset: str
) -> None:
    request = http.build_request("POST", "/adapt", files=[(n, (n, c)) for n, c in good])
    headers = {"Content-Type": f"{request.headers['content-type']}; charset={charset}"}
    problem(http.post("/adapt", content=request.read(), headers=headers), 400, "malformed-body")


@pytest.mark.parametrize(
    "body",
    [
        b'{"support": [], "support": []}',
        b'{"support": [], "ttl_seconds": NaN}',
        b'{"support": ' + b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_json_that_cannot_be_read_one_way(http: httpx.Client, body: bytes) -> None:
    problem(http.post("/adapt", content=body, headers=JSON), 400, "malformed-body")


@pytest.mark.parametrize(
    "option", [{"steps": True}, {"steps": "5"}, {"ttl_seconds": True}, {"steps": 10**400}]
)
def test_json_options_of_another_type(
    http: httpx.Client, good: list[tuple[str, bytes]], option: dict[str, Any]
) -> None:
    support = [{"label": n, "image": base64.b64encode(c).decode()} for n, c in good]
    response = http.post("/adapt", json={"support": support, **option})
    assert [field for _, field, _ in culprits(response)] == list(option)


def test_thousands_of_deviations_are_counted_not_listed(http: httpx.Client) -> None:
    for body in ({"support": [1] * 100_000}, {str(n): 1 for n in range(100_000)}):
        response = http.post("/adapt", json=body)
        problem(response, 422, "invalid-input")
        assert len(response.content) < 10_000


def test_too_many_images_are_refused_without_a_look_at_them(http: httpx.Client) -> None:
    response = http.post("/predict", json={"session_id": "x", "images": [""] * 10_001})
    assert culprits(response) == [("too_long", "images", None)]
    support = [{"label": str(n % 5), "image": "AAAA"} for n in range(1001)]
    response = http.post("/adapt", json={"support": support})
    assert culprits(response) == [("too_many_images", None, None)]


def test_a_call_that_takes_too_long_is_ended(good: list[tuple[str, bytes]]) -> None:
    with (
        local_server(create_app(Settings(deadline_seconds=1e-6, session_store="memory"))) as url,
        httpx.Client(base_url=url, timeout=30, trust_env=False) as http,
    ):
        problem(post(http, good), 504, "deadline-exceeded")


def test_a_form_without_a_boundary(http: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    problem(http.post("/adapt", content=b"x", headers=headers), 400, "malformed-body")


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_of_another_kind(http: httpx.Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    told = problem(
        http.post("/adapt", content=b"cat=1", headers=headers), 415, "unsupported-media-type"
    )
    assert "multipart/form-data" in told["detail"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit(chunked: bool, good: list[tuple[str, bytes]]) -> None:
    with (
        local_server(create_app(Settings(max_body_bytes=100_000, session_store="memory"))) as url,
        httpx.Client(base_url=url, trust_env=False) as http,
    ):
        content = b"x" * 300_000
        response = http.post(
            "/adapt", content=iter([content]) if chunked else content, headers=JSON
        )
        assert "100,000" in problem(response, 413, "too-large")["detail"]
        assert post(http, good).status_code == 201


def test_a_body_that_does_not_come_is_not_waited_for_without_end(server: str) -> None:
    address = urlsplit(server)
    with socket.create_connection((address.hostname, address.port or 80), timeout=30) as slow:
        slow.sendall(
            b"POST /adapt HTTP/1.1\r\nHost: inkling\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        answer = b"".join(iter(lambda: slow.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in answer


def test_nothing_there_and_methods_that_are_not(http: httpx.Client) -> None:
    problem(http.get("/nowhere"), 404, "not-found")
    response = http.put("/sessions/x")
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "DELETE, GET, HEAD"
    assert http.get("/adapt").headers["allow"] == "POST"


def test_every_problem_type_is_explained_by_the_server(http: httpx.Client) -> None:
    for name, kind in ALL_KINDS.items():
        explained = http.get(f"/problems/{name}").json()
        assert explained["type"] == f"/problems/{name}"
        assert explained["detail"] == kind.explanation
    problem(http.get("/problems/none-of-them"), 404, "not-found")
