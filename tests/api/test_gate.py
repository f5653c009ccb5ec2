"""Who comes in: slow bodies keep nobody out, and each tenant has bounds of its own."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import httpx
import pytest
from inkling.api.uploads import SlowBody, UploadLimits, Uploads
from inkling.cli.local_server import local_server
from inkling.errors import TenantLimit, Unavailable
from inkling.key_file import add_key
from inkling.main import create_app
from inkling.service.admission import Admission
from inkling.settings import Settings
from starlette.types import Message, Receive

from .raw import answer, connected, form, request

Drawings = dict[str, list[bytes]]
LIMITS = UploadLimits(max_bytes=100, seconds=60, idle_seconds=60)


@pytest.fixture
def support(drawings: Drawings) -> tuple[bytes, bytes]:
    return form([("a", drawings["Keble_01"][0]), ("b", drawings["Ge_ez_01"][0])])


def test_slow_bodies_keep_nobody_out(support: tuple[bytes, bytes]) -> None:
    kind, body = support
    whole = request("/adapt", kind, body)
    settings = Settings(max_calls=2, session_store="memory", workers=1)
    with local_server(create_app(settings)) as url, contextlib.ExitStack() as opened:
        slow = [opened.enter_context(connected(url)) for _ in range(20)]
        for connection in slow:
            connection.sendall(whole[:-10])
        with connected(url) as connection:
            connection.sendall(whole)
            assert answer(connection)[0] == 201
        slow[0].sendall(whole[-10:])
        assert answer(slow[0])[0] == 201


def test_a_body_that_stops_is_not_waited_for(support: tuple[bytes, bytes]) -> None:
    kind, body = support
    settings = Settings(body_idle_seconds=0.2, session_store="memory", workers=1)
    with local_server(create_app(settings)) as url, connected(url) as connection:
        connection.sendall(request("/adapt", kind, body)[:-10])
        status, told = answer(connection)
    assert status == 408
    assert told["type"] == "/problems/slow-body"


def parts(*sizes: int, then_wait: bool = False) -> Receive:
    """A request whose body has parts of some sizes."""
    left = list(sizes)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        size = left.pop(0)
        more = bool(left) or then_wait
        return {"type": "http.request", "body": bytes(size), "more_body": more}

    return receive


def test_the_oldest_body_of_who_sends_the_most_gives_way() -> None:
    async def run() -> None:
        uploads = Uploads(LIMITS)
        held = [uploads.begin("greedy", parts(30, then_wait=True)) for _ in range(3)]
        for upload in held:
            await upload.receive()
        waits = [asyncio.create_task(upload.receive()) for upload in held]
        await asyncio.sleep(0)
        other = uploads.begin("other", parts(20))
        await other.receive()
        with pytest.raises(Unavailable):
            await waits[0]
        assert uploads.n_bytes == 80
        assert not waits[1].done()
        for wait in waits[1:]:
            wait.cancel()
        for upload in (*held, other):
            upload.end()
        assert uploads.n_bytes == 0

    asyncio.run(run())


def test_what_is_worked_on_gives_way_to_nobody() -> None:
    async def run() -> None:
        uploads = Uploads(LIMITS)
        await uploads.begin("one", parts(90)).receive()
        with pytest.raises(Unavailable):
            await uploads.begin("two", parts(20)).receive()

    asyncio.run(run())


def test_a_body_has_to_come_at_a_rate() -> None:
    async def run() -> None:
        limits = UploadLimits(max_bytes=100, seconds=0.05, idle_seconds=60)
        upload = Uploads(limits).begin("one", parts(1, then_wait=True))
        await upload.receive()
        with pytest.raises(SlowBody):
            await upload.receive()

    asyncio.run(run())


def test_a_tenant_at_its_bound_keeps_no_other_out() -> None:
    admission = Admission(10, tenant_max_calls=2, tenant_max_images=5)
    for _ in range(2):
        admission.enter("one")
    with pytest.raises(TenantLimit, match="at most 2 calls of a tenant"):
        admission.enter("one")
    admission.enter("two")
    admission.leave("one")
    admission.enter("one")
    with admission.images("one", 4):
        with pytest.raises(TenantLimit, match="at most 5 images"), admission.images("one", 2):
            pass
        with admission.images("two", 5):
            pass
    with admission.images("one", 5):
        pass


def test_more_calls_than_the_server_takes_are_asked_to_come_back() -> None:
    admission = Admission(1)
    admission.enter("")
    with pytest.raises(Unavailable, match="1 calls are being worked on") as refused:
        admission.check("")
    assert refused.value.retry_after_seconds >= 1


def test_images_of_a_tenant_are_bounded_over_http(
    tmp_path: Path, support: tuple[bytes, bytes]
) -> None:
    path = tmp_path / "keys"
    key = add_key(path, "one")
    settings = Settings(api_keys_file=path, tenant_max_images=1, session_store="memory", workers=1)
    kind, body = support
    headers = {"Authorization": f"Bearer {key}", "Content-Type": kind.decode()}
    with (
        local_server(create_app(settings)) as url,
        httpx.Client(base_url=url, trust_env=False, headers=headers) as http,
    ):
        refused = http.post("/adapt", content=body)
        assert refused.status_code == 429
        assert refused.json()["type"] == "/problems/tenant-limit"
        assert int(refused.headers["retry-after"]) >= 1
