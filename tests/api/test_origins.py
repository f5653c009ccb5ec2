"""Web pages of others, names of others, and a proxy in front."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from inkling.cli.local_server import local_server
from inkling.key_file import add_key
from inkling.main import create_app
from inkling.settings import Settings

from .test_conversation import NAMES, Drawings, adapt

PAGE = "http://localhost:3000"


@pytest.fixture(scope="module")
def published() -> Iterator[str]:
    settings = Settings(
        root_path="/inkling",
        allowed_origins=(PAGE,),
        allowed_hosts=("few.example.org", ".example.net"),
        trusted_proxies=("127.0.0.1",),
        session_store="memory",
        workers=1,
    )
    with local_server(create_app(settings)) as url:
        yield url


@pytest.fixture
def at(published: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=published, timeout=60, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
def test_a_name_that_is_not_the_servers(http: httpx.Client, host: str) -> None:
    refused = http.get("/sessions", headers={"Host": host})
    assert refused.status_code == 403
    assert refused.json()["type"] == "/problems/foreign-request"
    for probe in ("/livez", "/readyz", "/metrics"):
        assert http.get(probe, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]:8000", "10.1.2.3", "inkling:80"]
)
def test_names_that_no_attacker_can_have(http: httpx.Client, host: str) -> None:
    assert http.get("/sessions", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "null", "Host": ""},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_form_that_a_foreign_page_posts(
    http: httpx.Client, drawings: Drawings, sent: dict[str, str]
) -> None:
    files = [(name, ("1.png", drawings[name][0])) for name in NAMES[:2]]
    refused = http.post("/adapt", files=files, headers=sent)
    assert refused.status_code == 403
    own = {"Origin": str(http.base_url), "Sec-Fetch-Site": "same-origin"}
    assert http.post("/adapt", files=files, headers=own).status_code == 201


def test_a_page_that_is_let_in(at: httpx.Client, drawings: Drawings) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    allowed = at.options("/adapt", headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == PAGE
    files = [(name, ("1.png", drawings[name][0])) for name in NAMES[:2]]
    made = at.post("/adapt", files=files, headers={"Origin": PAGE})
    assert made.status_code == 201
    assert made.headers["access-control-allow-origin"] == PAGE
    assert "Location" in made.headers["access-control-expose-headers"]
    other = at.options("/adapt", headers={**asked, "Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_no_page_is_let_in_unless_a_setting_says_so(http: httpx.Client) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    refused = http.options("/adapt", headers=asked)
    assert refused.status_code == 405
    assert not [name for name in refused.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["few.example.org", "a.example.net"])
def test_names_that_are_let_in(at: httpx.Client, host: str) -> None:
    assert at.get("/sessions", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("passed_on", ["", "/inkling"])
def test_addresses_lead_behind_the_prefix(
    at: httpx.Client, drawings: Drawings, passed_on: str
) -> None:
    files = [(name, ("1.png", drawings[name][0])) for name in NAMES[:2]]
    for version in ("", "/v1"):
        made = at.post(f"{passed_on}{version}/adapt", files=files)
        session_id = made.json()["session_id"]
        assert made.headers["location"] == f"/inkling{version}/sessions/{session_id}"
        assert at.get(made.headers["location"]).status_code == 200
    listed = at.get(f"{passed_on}/sessions", params={"limit": 1})
    assert "</inkling/sessions?" in listed.headers["link"]
    refused = at.get(f"{passed_on}/sessions/unknown-session-of-nobody-at-all")
    assert refused.json()["type"].startswith("/inkling/problems/")
    page = at.get(f"{passed_on}/docs").text
    assert '"/inkling/docs/assets/swagger-ui-bundle.js"' in page
    assert "'/inkling/openapi.json'" in page
    assert at.get("/inkling/openapi.json").json()["servers"] == [{"url": "/inkling"}]
    assert at.get(f"{passed_on}/docs/assets/swagger-ui.css").status_code == 200
    start = at.get(passed_on or "/").text
    assert '"/inkling/page/main.js"' in start
    assert at.get(f"{passed_on}/page/main.js").status_code == 200


def test_the_documentation_loads_nothing_from_elsewhere(http: httpx.Client) -> None:
    policy = http.get("/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self' 'sha256-" in policy


def test_with_keys_any_name_and_page_may_ask(tmp_path: Path, drawings: Drawings) -> None:
    path = tmp_path / "keys"
    key = add_key(path, "one")
    settings = Settings(api_keys_file=path, session_store="memory", workers=1)
    headers = {
        "Authorization": f"Bearer {key}",
        "Host": "few.example",
        "Origin": "https://x.example",
    }
    with (
        local_server(create_app(settings)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False, headers=headers) as client,
    ):
        adapt(client, {name: drawings[name][:1] for name in NAMES[:2]})
