"""What a server says to a Redis that it cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest
from inkling.errors import BadSetting
from inkling.sessions.redis_store import RedisStore
from inkling.sessions.store import Bounds
from inkling.settings import Settings, read_settings
from pydantic import SecretStr

from ..load.traffic import Task
from ..redis_server import RedisServer, free_port
from .replicas import replica, soon

BOUNDS = Bounds(10**9, 10)
SECRET = "a-secret-that-nobody-sees"  # noqa: S105


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{SECRET}@host/0",
        SECRET,
        f"redis://:{SECRET}@host:x",
        f"redis://:{SECRET}@host?x=1",
    ],
)
def test_an_address_of_another_kind_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(BadSetting, match="INKLING_REDIS_URL") as refused:
        RedisStore(url, BOUNDS)
    assert SECRET not in str(refused.value)


def test_settings_do_not_show_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"redis://:{SECRET}@host"
    assert SECRET not in repr(Settings(session_store="redis", redis_url=SecretStr(url)))
    monkeypatch.setenv("INKLING_REDIS_URL", url)
    with pytest.raises(BadSetting, match="expected where INKLING_SESSION_STORE=redis") as refused:
        read_settings()
    assert SECRET not in str(refused.value)


def test_a_redis_that_would_drop_sessions_is_refused(redis: RedisServer) -> None:
    redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(BadSetting, match="noeviction, got allkeys-lru"):
        RedisStore(redis.url, BOUNDS)


def test_a_password_is_asked_for_and_can_be_in_a_file(redis: RedisServer, tmp_path: Path) -> None:
    redis.ask("CONFIG", "SET", "requirepass", SECRET)
    with pytest.raises(BadSetting, match="refuses the user or password"):
        RedisStore(redis.url, BOUNDS)
    wrong = redis.url.replace("//", "//:wrong@")
    with pytest.raises(BadSetting, match="refuses the user or password"):
        RedisStore(wrong, BOUNDS)
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    for store in (
        RedisStore(redis.url, BOUNDS, password_file=file),
        RedisStore(redis.url.replace("//", f"//:{SECRET}@"), BOUNDS),
    ):
        store.check()
        store.close()


def test_a_server_starts_without_its_redis_and_is_ready_once_there_is_one(
    redis: RedisServer, task: Task
) -> None:
    redis.kill()
    with replica(redis.url) as started:
        assert "Redis cannot be reached" in started.unready()
        assert started.adapt(task).status_code == 503
        redis.start()
        soon(started.ready)
        assert started.adapt(task).status_code == 201


def test_a_redis_that_turns_out_to_be_unusable_is_told_by_readyz(redis: RedisServer) -> None:
    redis.kill()
    with replica(f"redis://127.0.0.1:{redis.port}/0") as started:
        redis.start("--maxmemory-policy", "allkeys-lru")
        soon(lambda: "noeviction" in started.unready())


def test_nothing_listens_is_no_reason_not_to_start() -> None:
    store = RedisStore(f"redis://127.0.0.1:{free_port()}/0", BOUNDS)
    store.close()
