"""Sessions as ONNX files: what they say is what the server says."""

from __future__ import annotations

import base64
import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
from inkling.export import classify
from PIL import Image

from ..answers import probabilities
from ..odd_pictures import SAVED
from ..pictures import opened, saved
from . import test_photographs as photos
from .test_conversation import NAMES, Drawings, adapt, predict

TOLERANCE = 1e-4
WITH_ORIGINAL_SIZE = ("very large", "very large, turned", "another profile, large")
"""Of no interest to drawings, for which they take long."""


def exported(http: httpx.Client, session_id: str, folder: Path) -> Path:
    answer = http.get(f"/sessions/{session_id}/export", params={"format": "onnx"})
    assert answer.status_code == 200, answer.text
    assert 'filename="inkling-session.onnx"' in answer.headers["Content-Disposition"]
    path = folder / "session.onnx"
    path.write_bytes(answer.content)
    return path


def assert_equal(
    http: httpx.Client, session_id: str, path: Path, queries: dict[str, bytes]
) -> None:
    classifier = classify.Classifier(str(path))
    for (name, content), told in zip(
        queries.items(), predict(http, session_id, list(queries.values())), strict=True
    ):
        found, apart = classifier(content)
        expected = probabilities(told)
        assert dict(zip(classifier.labels, found, strict=True)) == pytest.approx(
            expected, abs=TOLERANCE
        ), name
        assert apart == pytest.approx(told["none_of_these"]["score"], abs=TOLERANCE), name


@pytest.fixture(scope="module")
def drawn(
    server: str, drawings: Drawings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A session of drawings, unevenly many of each, and its file."""
    support = {name: drawings[name][: 1 + place] for place, name in enumerate(NAMES)}
    with httpx.Client(base_url=server, timeout=120, trust_env=False) as http:
        session_id = adapt(http, support)["session_id"]
        return session_id, exported(http, session_id, tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def photographed(server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A session of photographs and its file."""
    with httpx.Client(base_url=server, timeout=120, trust_env=False) as http:
        session_id = http.post("/adapt", files=photos.form(0, 3)).json()["session_id"]
        return session_id, exported(http, session_id, tmp_path_factory.mktemp("photographed"))


def test_a_file_says_of_photographs_what_the_server_says(
    http: httpx.Client, photographed: tuple[str, Path], photographs: list[bytes]
) -> None:
    picture = Image.open(io.BytesIO(photographs[0])).convert("RGB")
    assert_equal(http, *photographed, {name: save(picture) for name, save in SAVED.items()})
    chooser = random.Random(0)
    resized = {
        f"{number}": saved(
            Image.open(io.BytesIO(content)).resize(
                (chooser.randint(20, 700), chooser.randint(40, 700))
            )
        )
        for number, content in enumerate(photographs)
    }
    assert_equal(http, *photographed, resized)


def test_a_file_says_of_drawings_what_the_server_says(
    http: httpx.Client, drawn: tuple[str, Path], drawings: Drawings
) -> None:
    picture = opened(drawings["Keble_01"][9]).convert("RGB")
    odd = {name: save(picture) for name, save in SAVED.items() if name not in WITH_ORIGINAL_SIZE}
    assert_equal(http, *drawn, odd)
    chooser = random.Random(0)
    resized = {
        f"{number}": saved(
            opened(drawings[name][-number - 1]).resize(
                (chooser.randint(20, 400), chooser.randint(20, 400)), Image.Resampling.BICUBIC
            )
        )
        for number, name in enumerate(NAMES * 3)
    }
    assert_equal(http, *drawn, resized)


@pytest.mark.parametrize("views", [1, 5])
def test_a_file_looks_at_as_many_views_as_its_session(
    http: httpx.Client, tmp_path: Path, views: int
) -> None:
    made = http.post("/adapt", files=photos.form(0, 2), data={"views": str(views)}).json()
    path = exported(http, made["session_id"], tmp_path)
    queries = {f"{place}": content for place, (_, content) in enumerate(photos.form(5, 7))}
    assert_equal(http, made["session_id"], path, queries)


def test_images_of_a_batch_have_no_say_in_each_other(
    photographed: tuple[str, Path], drawn: tuple[str, Path]
) -> None:
    for _, path in (photographed, drawn):
        session = onnxruntime.InferenceSession(path)
        images = np.random.default_rng(0).integers(0, 255, (3, 50, 70, 4), dtype=np.uint8)
        together = session.run(None, {"image": images})
        for place in range(3):
            alone = session.run(None, {"image": images[place : place + 1]})
            for whole, own in zip(together, alone, strict=True):
                np.testing.assert_allclose(whole[place : place + 1], own, atol=2e-5)


def test_the_script_checks_the_examples_and_classifies(
    photographed: tuple[str, Path], tmp_path: Path
) -> None:
    image, broken = tmp_path / "lemon.jpg", tmp_path / "broken.jpg"
    image.write_bytes(photos.form(9, 10, ["lemon"])[0][1])
    broken.write_bytes(b"nothing")
    script = Path(classify.__file__)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, script, photographed[1], *arguments]
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False, cwd=tmp_path
        )

    good = run("--check", image)
    assert good.returncode == 0, good.stderr
    assert good.stdout.count(" off\n") == 2
    assert "lemon.jpg\tlemon\t0." in good.stdout
    bad = run(broken, image)
    assert bad.returncode == 1
    assert "expected a PNG, JPEG, WEBP, GIF or BMP" in bad.stderr
    assert "lemon.jpg\tlemon\t0." in bad.stdout


def test_a_check_finds_a_runtime_that_computes_otherwise(
    drawn: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = classify.Classifier(str(drawn[1]))
    assert classify.check(classifier)
    pixels = classify.pixels
    monkeypatch.setattr(
        classify, "pixels", lambda content, side: np.ascontiguousarray(pixels(content, side)[::-1])
    )
    assert not classify.check(classifier)


def test_a_file_tells_what_it_is(http: httpx.Client, drawn: tuple[str, Path]) -> None:
    session_id, path = drawn
    told = onnxruntime.InferenceSession(path).get_modelmeta()
    facts: dict[str, Any] = {
        key: json.loads(value) for key, value in told.custom_metadata_map.items()
    }
    session = http.get(f"/sessions/{session_id}").json()
    assert told.producer_name == "inkling"
    assert facts["labels"] == [each["label"] for each in session["classes"]]
    assert facts["initialization"] == session["initialization"]
    assert (facts["picture"], facts["licence"], facts["useful_side"]) == ("drawing", "MIT", None)
    assert facts["calibrated"]
    for example in facts["golden"]:
        (answer,) = predict(http, session_id, [base64.b64decode(example["content"])])
        own = dict(zip(facts["labels"], example["probabilities"], strict=True))
        assert own == pytest.approx(probabilities(answer), abs=1e-5)


def test_files_are_about_as_large_as_their_weights(
    photographed: tuple[str, Path], drawn: tuple[str, Path]
) -> None:
    assert photographed[1].stat().st_size < 13e6
    assert drawn[1].stat().st_size < 1e6


def test_a_session_that_is_not_there_is_not_exported(http: httpx.Client) -> None:
    answer = http.get(f"/sessions/{'a' * 32}/export", params={"format": "onnx"})
    assert answer.status_code == 404
