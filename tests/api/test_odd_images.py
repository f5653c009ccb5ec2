"""Images as phones, clipboards and arrays make them, over a real socket."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from PIL import Image

from ..images.files import png_with, text_chunk
from ..images.test_jpeg import with_scans
from ..images.test_kinds import FILES
from ..images.test_shown import transparent_bmp
from ..pictures import opened, saved

Drawings = dict[str, list[bytes]]
OTHERWISE = {
    "mask": lambda content: saved(Image.fromarray((np.asarray(opened(content)) > 0).astype("u1"))),
    "eight bits in sixteen": lambda content: saved(
        Image.fromarray(np.asarray(opened(content)).astype("u2"))
    ),
    "clipboard": lambda content: transparent_bmp(opened(content)),
    "long text": lambda content: png_with(content, text_chunk(3 << 20)),
    "one bit": lambda content: saved(opened(content).convert("1")),
    "animation": lambda content: saved(
        opened(content), save_all=True, append_images=[Image.new("L", opened(content).size, 7)]
    ),
    "several in one": lambda content: saved(opened(content).convert("RGB"), "MPO", save_all=True),
}


@pytest.fixture(scope="module")
def session(server: str, drawings: Drawings) -> str:
    files = [
        (name, (f"{place}.png", drawings[name][place]))
        for name in ("Keble_01", "Ge_ez_01")
        for place in range(5)
    ]
    with httpx.Client(base_url=server, timeout=60, trust_env=False) as http:
        answer = http.post("/adapt", files=files, data={"initialization": "omniglot"})
    session_id: str = answer.json()["session_id"]
    return session_id


@pytest.mark.parametrize("name", OTHERWISE)
def test_a_drawing_is_seen_however_it_was_saved(
    name: str, session: str, http: httpx.Client, drawings: Drawings
) -> None:
    files = [
        ("image", (f"{label}.png", OTHERWISE[name](drawings[label][7])))
        for label in ("Keble_01", "Ge_ez_01")
    ]
    answer = http.post("/predict", files=files, data={"session_id": session}).json()
    assert [each["label"] for each in answer["predictions"]] == ["Keble_01", "Ge_ez_01"]
    assert not [warning for warning in answer["warnings"] if warning["code"] == "blank_image"]


def test_what_cannot_be_taken_is_named_to_its_sender(session: str, http: httpx.Client) -> None:
    progressive = saved(Image.linear_gradient("L"), "JPEG", progressive=True)
    contents = [FILES["heic"][0], FILES["lfs"][0], with_scans(progressive, 60_000)]
    files = [("image", ("1.jpg", content)) for content in contents]
    refused = http.post("/predict", files=files, data={"session_id": session})
    assert refused.status_code == 422
    problems = refused.json()["problems"]
    assert [problem["code"] for problem in problems] == [
        "not_an_image",
        "not_an_image",
        "too_complex",
    ]
    assert "a HEIC image, as iPhones take them: send it as JPEG" in problems[0]["message"]
    assert "git lfs pull" in problems[1]["message"]
