"""The page at `/` as it is served: whole, from here alone, behind a prefix, with no key."""

from __future__ import annotations

import io
import re
from pathlib import Path

import httpx
import pytest
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings
from PIL import Image

IMPORT = re.compile(r'from "\./([a-z0-9_]+\.js)"')
LOADED = re.compile(r'(?:href|src)="(page/[^"]+)"')


def modules(http: httpx.Client, name: str, seen: dict[str, str]) -> dict[str, str]:
    """A module's text and that of all it imports, by name."""
    if name not in seen:
        answer = http.get(f"/page/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        seen[name] = answer.text
        for imported in IMPORT.findall(answer.text):
            modules(http, imported, seen)
    return seen


def test_the_page_has_all_that_it_loads(http: httpx.Client) -> None:
    page = http.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = LOADED.findall(page.text)
    assert {"page/main.js", "page/style.css", "page/icon.svg"} == set(loaded)
    for path in loaded:
        assert http.get(f"/{path}").status_code == 200
    assert len(modules(http, "main.js", {})) > 20


def test_the_page_loads_and_runs_what_is_its_own_alone(http: httpx.Client) -> None:
    for path in ("/", "/page/main.js", "/page/style.css"):
        policy = http.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
    texts = [http.get("/").text, http.get("/page/style.css").text]
    texts += modules(http, "main.js", {}).values()
    for text in texts:
        own = text.replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", own)
        assert not re.search(r"<script(?![^>]* src=)|\son[a-z]+=\"|style=\"", own)


def test_a_browser_that_has_a_file_is_not_sent_it_again(http: httpx.Client) -> None:
    first = http.get("/page/style.css")
    again = http.get("/page/style.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"
    assert http.get("/page/nothing.js").status_code == 404
    assert http.get("/page/../main.py").status_code == 404
    assert http.get("/page/%2e%2e/main.py").status_code == 404


@pytest.mark.parametrize("name", ["photographs", "drawings"])
def test_sample_sets_are_whole(http: httpx.Client, name: str) -> None:
    chosen = http.get("/page/samples.json").json()[name]
    assert len(chosen["classes"]) >= 3
    support = [path for one in chosen["classes"] for path in one["images"]]
    assert len(set(support) | set(chosen["queries"])) == len(support) + len(chosen["queries"])
    for path in [*support, *chosen["queries"]]:
        Image.open(io.BytesIO(http.get(f"/page/samples/{path}").content)).verify()


def test_the_page_is_shown_to_whoever_has_no_key_yet(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("page key-of-the-page-12345678\n")
    settings = Settings(
        initializations="omniglot", session_store="memory", workers=1, api_keys_file=keys
    )
    with local_server(create_app(settings)) as url, httpx.Client(base_url=url) as http:
        assert http.get("/").status_code == 200
        assert http.get("/page/main.js").status_code == 200
        assert http.get("/initializations").status_code == 401
