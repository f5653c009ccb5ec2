"""Requests that are a little off are answered or closed, and are never a fault of the server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings

from ..images.damaged import Material, material
from .mutations import KINDS, LABELS, SESSION, mutation
from .sent import WITHOUT_ANSWER, send_all
from .test_conversation import Drawings, adapt

CASES, CLIENTS = 300, 4


@pytest.fixture(scope="module")
def patient_for_a_moment() -> Iterator[str]:
    settings = Settings(
        session_store="memory",
        initializations=("omniglot",),
        workers=2,
        body_timeout_seconds=0.5,
        body_idle_seconds=0.5,
    )
    app = create_app(settings)
    app.state.connections.limits = replace(app.state.connections.limits, head_seconds=0.5)
    with local_server(app) as url:
        yield url


@pytest.fixture(scope="module")
def given(drawings: Drawings, photographs: list[bytes]) -> Material:
    return material([images[0] for images in drawings.values()], photographs[0])


def test_requests_that_are_a_little_off_are_answered(
    patient_for_a_moment: str, given: Material
) -> None:
    url = patient_for_a_moment
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        support = dict(zip(LABELS, ([image] for image in given.whole), strict=False))
        session_id = adapt(http, support)["session_id"].encode()
        requests = [mutation(number, given) for number in range(CASES)]
        bodies = [
            (name, content.replace(SESSION.encode(), session_id)) for name, content in requests
        ]
        found = list(send_all(url, bodies, CLIENTS))
        assert http.get("/readyz").status_code == 200
    assert len(found) == CASES
    odd = [sent for sent in found if sent.status >= 500 or sent.status == WITHOUT_ANSWER]
    assert not odd
    taken = {kind for kind in KINDS if any(f"({kind}" in s.name and s.status < 300 for s in found)}
    assert taken == {*KINDS}


def test_a_mutation_is_the_same_whenever_it_is_made(given: Material) -> None:
    once = [mutation(number, given) for number in range(200)]
    backwards = [mutation(number, given) for number in reversed(range(200))]
    assert once == backwards[::-1]
