"""Ten thousand requests that are a little off: none a fault, none slow, no memory kept.

CASES=100,7 sends these alone, one after the other.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from ..api.mutations import LABELS, SESSION, mutation
from ..api.sent import WITHOUT_ANSWER, Sent, send, send_all
from ..images.damaged import Material, material
from .probe import probing
from .server import ServerProcess, serving

CASES, WARM_CALLS, CLIENTS = 10_000, 1000, 4
PER_SESSION = 100
"""Requests that go to one session: those that add images make it larger."""
MOST_SECONDS, MOST_GROWTH = 2.0, 100 * 2**20
BODY_SECONDS, HEAD_SECONDS = 1.0, 11.0
"""How long the server waits for the rest of a body, and of a head (and looks once a second)."""
CACHE_BYTES = 16 * 2**20
"""What the server keeps of sessions on purpose."""


def test_requests_that_are_a_little_off(
    tmp_path: Path, drawings: dict[str, list[bytes]], photographs: list[bytes]
) -> None:
    given = material([images[0] for images in drawings.values()], photographs[0])
    with serving(
        tmp_path,
        BODY_TIMEOUT_SECONDS=BODY_SECONDS,
        BODY_IDLE_SECONDS=BODY_SECONDS,
        SESSION_CACHE_BYTES=CACHE_BYTES,
    ) as server:
        sessions = [_session(server, given) for _ in range((CASES + WARM_CALLS) // PER_SESSION)]

        def request(number: int) -> tuple[str, bytes]:
            name, content = mutation(number, given)
            return name, content.replace(SESSION.encode(), sessions[number // PER_SESSION])

        chosen = os.environ.get("CASES")
        if chosen:
            for number in map(int, chosen.split(",")):
                name, content = request(number)
                print(f"\n{content[:300]!r} ({len(content):,} bytes)")
                print(send(server.url, name, content))
            return
        list(send_all(server.url, map(request, range(CASES, CASES + WARM_CALLS)), CLIENTS))
        at_rest, began = server.resident_bytes(), time.perf_counter()
        place = urlsplit(server.url)
        with probing(place.hostname or "", place.port or 0) as livez:
            found = list(send_all(server.url, map(request, range(CASES)), CLIENTS))
        spent, grown = time.perf_counter() - began, server.resident_bytes() - at_rest
        # What took long beside others may have waited for them alone.
        late = [int(sent.name.partition(" ")[0]) for sent in found if _is_late(sent)]
        again = [send(server.url, *request(number)) for number in late]
        log = "".join(server.log)
    faults = [sent for sent in found if sent.status >= 500 or sent.status == WITHOUT_ANSWER]
    slow = [sent for sent in again if _is_late(sent)]
    statuses = Counter(sent.status for sent in found)
    livez.sort()
    print(
        f"\n{len(found):,} requests in {spent:.0f} s: {dict(sorted(statuses.items()))}; "
        f"the slowest {max(sent.seconds for sent in found):.2f} s, {len(late)} sent once more; "
        f"memory +{grown / 2**20:.0f} MiB; /livez p99 {livez[int(0.99 * len(livez))]:.0f} ms, "
        f"at most {livez[-1]:.0f} ms"
    )
    assert not faults
    assert not slow
    assert grown < MOST_GROWTH
    assert "Traceback" not in log


def _session(server: ServerProcess, given: Material) -> bytes:
    """The id of a new session."""
    files = [(label, ("1.png", image)) for label, image in zip(LABELS, given.whole, strict=False)]
    answer = httpx.post(f"{server.url}/adapt", files=files, timeout=60, trust_env=False)
    session_id: str = answer.json()["session_id"]
    return session_id.encode()


def _is_late(sent: Sent) -> bool:
    """Whether it took too long, which for what never came whole is longer."""
    waited = sent.status == httpx.codes.REQUEST_TIMEOUT
    return sent.seconds > (HEAD_SECONDS + MOST_SECONDS if waited else MOST_SECONDS)
