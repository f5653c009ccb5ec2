"""Sessions that leave a server as files and come into another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings
from safetensors.torch import load, save

from ..answers import assert_alike
from . import test_photographs as photos
from .test_conversation import NAMES, Drawings, adapt, form, predict

OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[httpx.Client]:
    """Another server, which keeps no support sets and has loaded one initialization."""
    settings = Settings(
        session_folder=tmp_path, initializations=("omniglot",), keep_support=False, workers=1
    )
    with (
        local_server(create_app(settings)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def session(http: httpx.Client, drawings: Drawings) -> dict[str, Any]:
    return adapt(http, {name: drawings[name][:3] for name in NAMES[:3]})


def exported(http: httpx.Client, session_id: str) -> bytes:
    answer = http.get(f"/sessions/{session_id}/export", params={"format": "safetensors"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == OCTETS["Content-Type"]
    assert "inkling-session.safetensors" in answer.headers["Content-Disposition"]
    return answer.content


def restored(http: httpx.Client, content: bytes, **options: Any) -> dict[str, Any]:
    answer = http.post("/sessions", content=content, headers=OCTETS, params=options)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    assert answer.headers["Location"].endswith(told["session_id"])
    return told


def changed(content: bytes, tensors: dict[str, Any] | None = None, **told: Any) -> bytes:
    """A file with other tensors, and other facts of its session; None leaves one out."""
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    facts = {**json.loads(metadata["session"]), **told}
    merged = {**load(content), **(tensors or {})}
    kept = {name: tensor for name, tensor in merged.items() if tensor is not None}
    return save(kept, {**metadata, "session": json.dumps(facts)})


@pytest.mark.parametrize("kind", ["drawings", "photographs"])
def test_a_session_that_comes_back_predicts_and_grows_as_before(
    http: httpx.Client, drawings: Drawings, kind: str
) -> None:
    fields = photos.form(0, 3)
    if kind == "drawings":
        fields = [(name, content) for name in NAMES[:3] for content in drawings[name][:3]]
    made = http.post("/adapt", files=form(*fields)).json()
    first = made["session_id"]
    queries = [content for _, content in fields][:4]
    before = predict(http, first, queries)
    file = exported(http, first)
    assert http.delete(f"/sessions/{first}").status_code == 204
    answer = restored(http, file, ttl_seconds=60)
    assert answer["session_id"] != first
    assert answer["ttl_seconds"] == 60
    assert answer["keeps_support"]
    assert answer["warnings"] == []
    for told in ("classes", "steps", "views", "initialization"):
        assert answer[told] == made[told]
    assert_alike(predict(http, answer["session_id"], queries), before)
    more = http.post(f"/sessions/{answer['session_id']}/support", files=form(*fields[:1]))
    assert more.status_code == 200
    assert more.json()["classes"][0]["images"] == 4


def test_a_form_brings_a_session_too(
    http: httpx.Client, session: dict[str, Any], elsewhere: httpx.Client, drawings: Drawings
) -> None:
    file = exported(http, session["session_id"])
    sent = {"session": ("1.safetensors", file)}
    answer = elsewhere.post("/sessions?ttl_seconds=90", files=sent)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["ttl_seconds"] == 90
    assert not told["keeps_support"]
    assert [warning["code"] for warning in told["warnings"]] == ["support_not_kept"]
    queries = [drawings[name][9] for name in NAMES[:3]]
    assert_alike(
        predict(elsewhere, told["session_id"], queries),
        predict(http, session["session_id"], queries),
    )
    assert "support.images" not in load(exported(elsewhere, told["session_id"]))


def test_a_session_of_an_initialization_that_is_not_loaded_is_refused(
    http: httpx.Client, elsewhere: httpx.Client
) -> None:
    made = http.post("/adapt", files=photos.form(0, 1)).json()
    file = exported(http, made["session_id"])
    refused = elsewhere.post("/sessions", content=file, headers=OCTETS)
    assert refused.status_code == 409
    assert refused.json()["type"] == "/problems/initialization-not-loaded"


def test_a_file_that_is_sent_again_makes_one_session(
    http: httpx.Client, session: dict[str, Any]
) -> None:
    file = exported(http, session["session_id"])
    headers = {**OCTETS, "Idempotency-Key": "bring-it-in"}
    first = http.post("/sessions", content=file, headers=headers)
    again = http.post("/sessions", content=file, headers=headers)
    assert first.content == again.content
    assert again.headers["Idempotency-Replayed"] == "true"
    other = http.post("/sessions?ttl_seconds=5", content=file, headers=headers)
    assert other.json()["type"] == "/problems/idempotency-key-reused"


WRONG: dict[str, dict[str, Any]] = {
    "too few rows": {"tensors": {"adapted.head.bias": torch.zeros(2)}},
    "no numbers": {"tensors": {"adapted.head.bias": torch.full((3,), float("nan"))}},
    "endless numbers": {"tensors": {"adapted.head.bias": torch.full((3,), float("inf"))}},
    "huge numbers": {"tensors": {"adapted.head.bias": torch.full((3,), 1e30)}},
    "other precision": {"tensors": {"adapted.head.bias": torch.zeros(3, dtype=torch.float64)}},
    "a missing tensor": {"tensors": {"adapted.head.bias": None}},
    "another tensor": {"tensors": {"adapted.more": torch.zeros(1)}},
    "a tensor of nothing": {"tensors": {"more": torch.zeros(1)}},
    "part of a support set": {"tensors": {"support.labels": None}},
    "classes that are not": {"tensors": {"support.labels": torch.full((9,), 7)}},
    "images of another size": {"tensors": {"support.images": torch.zeros(9, 1, 20, 20)}},
    "a label twice": {"labels": ["a", "a", "b"]},
    "labels out of order": {"labels": ["c", "b", "a"]},
    "a label that is none": {"labels": ["", "a", "b"]},
    "one class": {"labels": ["a"], "image_counts": [9]},
    "an empty class": {"image_counts": [0, 3, 6]},
    "counts of others": {"image_counts": [2, 3, 4]},
    "too many images": {"image_counts": [100_000, 3, 3]},
    "too many steps": {"steps": 10_000},
    "views that are not": {"n_views": 1},
    "steps of text": {"steps": "5"},
    "something more": {"tenant": "somebody"},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_file_that_is_not_what_it_says_is_refused(
    http: httpx.Client, session: dict[str, Any], what: str
) -> None:
    file = changed(exported(http, session["session_id"]), **WRONG[what])
    refused = http.post("/sessions", content=file, headers=OCTETS)
    assert refused.status_code == 422, refused.text
    kinds = ("/problems/bad-session-file", "/problems/invalid-input")
    assert refused.json()["type"] in kinds


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        b"\x10\0\0\0\0\0\0\0{}",
        b"\xff" * 64,
        b"\x02\0\0\0\0\0\0\0[]",
        b"\x02\0\0\0\0\0\0\0{}",
        (2_000_000).to_bytes(8, "little") + b" " * 2_000_000,
        (60_000).to_bytes(8, "little") + b"[" * 60_000,
        save({"adapted.head.bias": torch.zeros(2)}),
    ],
)
def test_what_is_no_session_file_is_refused(http: httpx.Client, content: bytes) -> None:
    refused = http.post("/sessions", content=content, headers=OCTETS)
    assert refused.status_code == 422, refused.text
    assert refused.json()["type"] == "/problems/bad-session-file"


def test_what_calls_ask_for_in_vain_is_refused(http: httpx.Client, session: dict[str, Any]) -> None:
    path = f"/sessions/{session['session_id']}/export"
    assert http.get(path, params={"format": "pickle"}).status_code == 422
    assert http.get("/sessions/unknown/export").status_code == 404
    file = exported(http, session["session_id"])
    assert http.post("/sessions", content=file).status_code == 415
    ended = http.post("/sessions?ttl_seconds=0", content=file, headers=OCTETS)
    assert ended.json()["problems"][0]["field"] == "ttl_seconds"
    two = [("session", ("1", file)), ("session", ("2", file)), ("other", ("3", file))]
    refused = http.post("/sessions", files=two)
    assert [problem["field"] for problem in refused.json()["problems"]] == ["other", "session"]
