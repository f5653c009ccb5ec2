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


def adapt(
    http: httpx.Client, support: dict[str, list[bytes]], headers: dict[str, str] | None = None
) -> httpx.Response:
    files = [(label, ("1.png", image)) for label, images in support.items() for image in images]
    return http.post("/adapt", files=files, headers=headers or {})


def supports_of(drawings: dict[str, list[bytes]], number: int) -> list[dict[str, list[bytes]]]:
    """Support sets of 2 to 4 classes, each of other images."""
    labels = list(drawings)
    return [
        {
            label: drawings[label][place : place + 1]
            for label in labels[place : place + 2 + place % 3]
        }
        for place in range(number)
    ]


def test_adaptations_at_once_are_as_if_alone_and_a_bad_one_fails_alone(
    http: httpx.Client, drawings: dict[str, list[bytes]]
) -> None:
    supports = supports_of(drawings, 12)
    alone = [adapt(http, support).json() for support in supports]
    bad = {label: [b"no image at all"] for label in supports[0]}
    with ThreadPoolExecutor(len(supports) + 1) as pool:
        answers = list(pool.map(lambda one: adapt(http, one), [*supports[:6], bad, *supports[6:]]))
    refused = answers.pop(6)
    assert refused.status_code == 422
    assert {problem["code"] for problem in refused.json()["problems"]} == {"not_an_image"}
    assert len({answer.json()["session_id"] for answer in answers}) == len(supports)
    for answer, expected, support in zip(answers, alone, supports, strict=True):
        found = answer.json()
        assert answer.status_code == 201
        assert found["classes"] == expected["classes"]
        assert found["loss"] == pytest.approx(expected["loss"], abs=1e-5)
        (query, *_), *_ = support.values()
        both = [predict(http, each["session_id"], query) for each in (found, expected)]
        one, other = (probabilities(each)[0] for each in both)
        assert one == pytest.approx(other, abs=1e-5)


def test_a_key_that_is_sent_several_times_at_once_makes_one_session(
    http: httpx.Client, drawings: dict[str, list[bytes]]
) -> None:
    (support,) = supports_of(drawings, 1)
    headers = {"Idempotency-Key": "several-at-once"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: adapt(http, support, headers), range(8)))
    made = [answer.json()["session_id"] for answer in answers if answer.status_code == 201]
    assert len(set(made)) == 1
    others = {answer.json()["type"] for answer in answers if answer.status_code != 201}
    assert others <= {"/problems/idempotency-key-in-use"}


def test_a_support_set_of_many_pixels_is_adapted_to_like_a_small_one(
    http: httpx.Client, drawings: dict[str, list[bytes]]
) -> None:
    (support,) = supports_of(drawings, 1)
    large = {
        label: [enlarged(image, 1400) for image in images] for label, images in support.items()
    }
    found, expected = adapt(http, large).json(), adapt(http, support).json()
    assert found["classes"] == expected["classes"]
    for label, images in support.items():
        told = probabilities(predict(http, found["session_id"], images[0]))[0]
        assert max(told, key=told.__getitem__) == label
