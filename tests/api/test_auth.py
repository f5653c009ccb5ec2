"""Servers that ask who calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from inkling.api.auth import ApiKeys
from inkling.cli.app import app
from inkling.cli.local_server import local_server
from inkling.errors import BadSetting, TooManyKeysTried, UnknownApiKey
from inkling.key_file import add_key
from inkling.main import create_app
from inkling.settings import Settings
from typer.testing import CliRunner

from .test_conversation import NAMES, Drawings, adapt

KEYS = """
# tenants of the tests
one  key-of-one#12345678   # a comment
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
        client(url, "key-of-one#12345678") as one,
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


@pytest.mark.parametrize(
    "key", [None, "other", "key-of-one", "key-of-one#1234567", "key-of-one#12345678 x"]
)
def test_others_are_asked_for_a_key(url: str, key: str | None) -> None:
    with client(url, key) as nobody:
        for answer in (
            nobody.post("/adapt"),
            nobody.get("/sessions"),
            nobody.post("/v1/predict"),
            nobody.get("/metrics"),
        ):
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
        ApiKeys(path)
    assert "key-key" not in str(refused.value)
    assert "short" not in str(refused.value)


def test_keys_are_made_listed_and_removed_while_the_server_runs(tmp_path: Path) -> None:
    path, now = tmp_path / "keys", [0.0]
    first = run("add", "one", path).strip()
    assert first not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    keys = ApiKeys(path, steady=lambda: now[0])
    second = run("add", "two", path).strip()
    ids = dict(line.split("\t")[:2] for line in run("list", path).splitlines())
    assert list(ids) == ["one", "two"]
    with pytest.raises(UnknownApiKey):
        tenant(keys, second)
    now[0] += 1
    assert (tenant(keys, first), tenant(keys, second)) == ("one", "two")
    assert ids["one"] in run("remove", ids["one"], path)
    now[0] += 1
    with pytest.raises(UnknownApiKey):
        tenant(keys, first)
    path.write_text("nonsense")
    now[0] += 1
    assert tenant(keys, second) == "two"


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    add_key(path, "one")
    path.chmod(0o666)
    with pytest.raises(BadSetting, match="its owner alone can write"):
        ApiKeys(path)


def test_who_tries_many_keys_has_to_wait_and_a_good_one_is_let_in(tmp_path: Path) -> None:
    key, now = add_key(tmp_path / "keys", "one"), [0.0]
    keys = ApiKeys(tmp_path / "keys", steady=lambda: now[0])

    def refused(address: str) -> str:
        with pytest.raises((UnknownApiKey, TooManyKeysTried)) as told:
            tenant(keys, "a-key-that-is-wrong", address)
        return type(told.value).__name__

    told = [refused("1.2.3.4") for _ in range(100)]
    assert told[0] == "UnknownApiKey"
    assert told[-1] == "TooManyKeysTried"
    assert refused("5.6.7.8") == "UnknownApiKey"
    assert tenant(keys, key, "1.2.3.4") == "one"
    now[0] += 10
    assert refused("1.2.3.4") == "UnknownApiKey"


def tenant(keys: ApiKeys, key: str, address: str = "") -> str:
    return keys.tenant_of([(b"authorization", f"Bearer {key}".encode())], address)


def run(command: str, *arguments: object) -> str:
    *given, path = map(str, arguments)
    result = CliRunner().invoke(app, ["keys", command, *given, "--file", path])
    assert result.exit_code == 0, result.output
    return result.output
