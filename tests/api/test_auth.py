"""Servers that ask who calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from inkling.api.auth import read_api_keys
from inkling.cli.local_server import local_server
from inkling.errors import BadSetting
from inkling.main import create_app
from inkling.settings import Settings

from .test_conversation import NAMES, Drawings, adapt

KEYS = """
# tenants of the tests
one  key-of-one-12345678   # a comment
one  second-key-of-one-1234
two  key-of-two-12345678
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(KEYS)
    settings = Settings(api_keys_file=path, session_store="memory", workers=1)
    with local_server(create_app(settings)) as base:
        yield base


def client(url: str, key: str | None) -> httpx.Client:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, timeout=60, trust_env=False, headers=headers)


def test_a_tenant_sees_its_own_sessions_alone(url: str, drawings: Drawings) -> None:
    support = {name: drawings[name][:1] for name in NAMES[:2]}
    with (
        client(url, "key-of-one-12345678") as one,
        client(url, "second-key-of-one-1234") as same,
        client(url, "key-of-two-12345678") as two,
    ):
        path = f"/sessions/{adapt(one, support)['session_id']}"
        assert same.get(path).status_code == 200
        assert len(same.get("/sessions").json()["sessions"]) == 1
        assert two.get("/sessions").json() == {"sessions": [], "next": None}
        for refused in (two.get(path), two.delete(path)):
            assert refused.status_code == 404
            assert refused.json()["type"] == "/problems/session-not-found"
        assert one.delete(path).status_code == 204


@pytest.mark.parametrize("key", [None, "other", "key-of-one-1234567", "key-of-one-12345678 x"])
def test_others_are_asked_for_a_key(url: str, key: str | None) -> None:
    with client(url, key) as nobody:
        for answer in (nobody.post("/adapt"), nobody.get("/sessions"), nobody.post("/v1/predict")):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["type"] == "/problems/unknown-caller"
        for path in ("/livez", "/readyz", "/docs", "/openapi.json", "/problems/unknown-caller"):
            assert nobody.get(path).status_code == 200


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected lines of a tenant and a key"),
        ("one", "line 1: expected a tenant and a key"),
        ("one short", "line 1: expected a key of 16 characters or more, got 5"),
        ("a key-key-key-key-key\nb key-key-key-key-key", "line 2: this key belongs to another"),
    ],
)
def test_a_wrong_file_of_keys_is_refused_without_telling_a_key(
    tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(BadSetting, match=told) as refused:
        read_api_keys(path)
    assert "key-key" not in str(refused.value)
    assert "short" not in str(refused.value)
