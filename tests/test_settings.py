"""Settings from an environment that others write into, too."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.cli.listening import check_reach, listening_socket
from inkling.errors import BadCheckpoint, BadSetting
from inkling.settings import Settings, read_settings

INJECTED = {
    "INKLING_SERVICE_HOST": "10.96.3.4",
    "INKLING_SERVICE_PORT": "8000",
    "INKLING_SERVICE_PORT_HTTP": "8000",
    "INKLING_PORT": "tcp://10.96.3.4:8000",
    "INKLING_PORT_8000_TCP": "tcp://10.96.3.4:8000",
    "INKLING_PORT_8000_TCP_PROTO": "tcp",
    "INKLING_PORT_8000_TCP_PORT": "8000",
    "INKLING_PORT_8000_TCP_ADDR": "10.96.3.4",
    "INKLING_API_SERVICE_HOST": "10.96.3.5",
    "INKLING_API_PORT": "tcp://10.96.3.5:80",
    "INKLING_API_PORT_80_TCP_ADDR": "10.96.3.5",
}


@pytest.fixture(autouse=True)
def _no_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("INKLING_"):
            monkeypatch.delenv(name)


def test_variables_of_kubernetes_and_docker_are_no_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in INJECTED.items():
        monkeypatch.setenv(name, value)
    assert read_settings().port == 8000
    assert read_settings(port=8001).port == 8001


@pytest.mark.parametrize("name", ["INKLING_PROT", "INKLING_SERVICE", "INKLING_PORT_"])
def test_a_setting_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(BadSetting, match=f"unknown settings: {name};"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROOT_PATH", "inkling"),
        ("ROOT_PATH", "/a b"),
        ("ALLOWED_ORIGINS", "app.example.org"),
        ("TRUSTED_PROXIES", "proxy.example.org"),
        ("PORT", "http"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_value_that_is_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"INKLING_{name}", value)
    with pytest.raises(BadSetting, match=f"INKLING_{name}: "):
        read_settings()


def test_lists_are_read_from_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKLING_ALLOWED_ORIGINS", "https://a.example, http://b.example:3000")
    monkeypatch.setenv("INKLING_TRUSTED_PROXIES", "10.0.0.0/8,::1")
    monkeypatch.setenv("INKLING_ROOT_PATH", "/inkling/")
    told = read_settings()
    assert told.allowed_origins == ("https://a.example", "http://b.example:3000")
    assert told.trusted_proxies == ("10.0.0.0/8", "::1")
    assert told.root_path == "/inkling"


def test_a_tilde_is_the_home_folder_where_no_shell_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    paths = [name for name, field in Settings.model_fields.items() if "Path" in str(field)]
    assert {"session_folder", "api_keys_file"} <= set(paths)
    for name in paths:
        monkeypatch.setenv(f"INKLING_{name.upper()}", "~/some/place")
    told = read_settings()
    assert {getattr(told, name) for name in paths} == {tmp_path / "some/place"}
    monkeypatch.setenv("INKLING_SESSION_FOLDER", "~nobody-of-this-name/place")
    with pytest.raises(BadSetting, match=r"INKLING_SESSION_FOLDER: .*home folder is not known"):
        read_settings()


def test_initializations_in_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine").symlink_to(find_checkpoint("omniglot"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_checkpoint("~/mine") == tmp_path / "mine"
    for place in ("~/other", "~nobody-of-this-name/mine"):
        with pytest.raises(BadCheckpoint, match=f"got '{place}'"):
            find_checkpoint(place)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "inkling.example.org"])  # noqa: S104
def test_nobody_else_is_served_without_keys_unless_that_is_meant(host: str) -> None:
    with pytest.raises(BadSetting, match="INKLING_SERVE_ANYBODY=true"):
        check_reach(Settings(host=host))
    check_reach(Settings(host=host, serve_anybody=True))
    for own in ("127.0.0.1", "::1", "localhost"):
        check_reach(Settings(host=own))


def test_two_colons_hear_both_kinds_of_addresses() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with listening_socket("::", 0) as listening:
        listening.listen()
        port = listening.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port), timeout=10):
                pass


def test_a_port_that_is_taken() -> None:
    with listening_socket("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadSetting, match=f"cannot listen on 127.0.0.1 port {port}: Address"):
            listening_socket("127.0.0.1", port)
