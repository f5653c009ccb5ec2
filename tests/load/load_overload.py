"""More calls than can be answered: the answers go on at their rate, and refusals come at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest

from ..api.raw import form, request
from ..benchmarks.http.load_generator import LoadPlan, run_load
from .open_loop import ArrivalPlan, run_arrivals
from .server import ServerProcess, serving

SECONDS = 60.0
CLIENTS = 32
LEAST_GOODPUT = {("predict", 2): 0.85, ("predict", 4): 0.65, ("adapt", 2): 0.85, ("adapt", 4): 0.85}
MOST_REFUSED_MS, MOST_PROBE_MS, MOST_RECOVERY_SECONDS = 100, 100, 5.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("sessions")
    with serving(folder, INITIALIZATIONS="omniglot") as running:
        yield running


def requests_of(kind: str, url: str, drawings: dict[str, list[bytes]]) -> list[bytes]:
    names = sorted(drawings)[:5]
    media_type, support = form([(name, drawings[name][0]) for name in names])
    if kind == "adapt":
        return [request("/adapt", media_type, support)]
    made = httpx.post(
        f"{url}/adapt", content=support, headers={"Content-Type": media_type.decode()}
    )
    bodies = [
        form([("image", drawings[name][1])], session_id=made.json()["session_id"]) for name in names
    ]
    return [request("/predict", *body) for body in bodies]


@pytest.mark.parametrize("kind", ["predict", "adapt"])
def test_goodput_under_overload(
    server: ServerProcess, drawings: dict[str, list[bytes]], kind: str
) -> None:
    address = urlsplit(server.url)
    host, port = str(address.hostname), address.port or 80
    requests = requests_of(kind, server.url, drawings)
    peak = run_load(LoadPlan(host, port, [requests] * CLIENTS, 200, 10.0)).throughput_per_s
    print(f"\n{kind}: peak {peak:.0f}/s, closed loop of {CLIENTS} clients")
    plan = ArrivalPlan(host, port, requests, peak, SECONDS)
    misses = []
    for times in (1, 2, 4):
        result = run_arrivals(replace(plan, per_second=times * peak))
        share = result.good_per_s / peak
        print(
            f"{times} x: goodput {result.good_per_s:.0f}/s = {share:.0%}, {result.statuses}, "
            f"late {result.late}, unsent {result.unsent}; ms: good {result.good_ms}, refused "
            f"{result.refused_ms}, /livez {result.probe_ms}; refusals without Retry-After "
            f"{result.without_retry_after}"
        )
        if share < LEAST_GOODPUT.get((kind, times), 0):
            misses.append(f"{times} x: goodput {share:.0%}")
        if times > 1 and result.refused_ms.get("p99", 0) > MOST_REFUSED_MS:
            misses.append(f"{times} x: refusals {result.refused_ms}")
        if result.probe_ms["p99"] > MOST_PROBE_MS:
            misses.append(f"{times} x: /livez {result.probe_ms}")
        assert not result.without_retry_after
    after = run_load(LoadPlan(host, port, [requests] * CLIENTS, 1, MOST_RECOVERY_SECONDS))
    print(f"afterwards {after.throughput_per_s:.0f}/s")
    assert after.throughput_per_s >= 0.8 * peak
    assert not misses
