"""Calls that are worked on together, and those that are kept apart from them."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image


@pytest.fixture
def session_id(http: httpx.Client, drawings: dict[str, list[bytes]]) -> str:
    support = [
        (label, (f"{place}.png", image))
        for label, images in list(drawings.items())[:3]
        for place, image in enumerate(images[:2])
    ]
    made: str = http.post("/adapt", files=support).json()["session_id"]
    return made


def predict(http: httpx.Client, session_id: str, *images: bytes) -> httpx.Response:
    files = [("image", (f"{place}.png", image)) for place, image in enumerate(images)]
    return http.post("/predict", data={"session_id": session_id}, files=files)


def probabilities(answer: httpx.Response) -> list[dict[str, float]]:
    assert answer.status_code == 200, answer.text
    return [
        {entry["label"]: entry["probability"] for entry in prediction["probabilities"]}
        for prediction in answer.json()["predictions"]
    ]


def enlarged(image: bytes, side: int) -> bytes:
    written = io.BytesIO()
    Image.open(io.BytesIO(image)).resize((side, side)).save(written, "PNG")
    return written.getvalue()


def test_calls_at_once_are_answered_as_if_alone_and_a_bad_one_fails_alone(
    http: httpx.Client, session_id: str, drawings: dict[str, list[bytes]]
) -> None:
    queries = [images[7] for images in list(drawings.values())[:12]]
    alone = [probabilities(predict(http, session_id, query))[0] for query in queries]
    sent = [*queries[:6], b"no image at all", *queries[6:]]
    with ThreadPoolExecutor(len(sent)) as pool:
        answers = list(pool.map(lambda image: predict(http, session_id, image), sent))
    refused = answers.pop(6)
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["code"] == "not_an_image"
    for answer, expected in zip(answers, alone, strict=True):
        assert probabilities(answer)[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("others", [0, 30], ids=["many pixels", "many images"])
def test_calls_that_would_hold_others_up_get_the_same_answer(
    http: httpx.Client, session_id: str, drawings: dict[str, list[bytes]], others: int
) -> None:
    small = next(iter(drawings.values()))[9]
    large = small if others else enlarged(small, 1400)
    rest = [images[9] for images in drawings.values()][:others]
    (expected,) = probabilities(predict(http, session_id, small))
    found = probabilities(predict(http, session_id, large, *rest))
    assert len(found) == 1 + len(rest)
    if others:
        assert found[0] == pytest.approx(expected, abs=1e-5)
    assert max(found[0], key=found[0].__getitem__) == max(expected, key=expected.__getitem__)
