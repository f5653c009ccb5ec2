"""Exported ONNX files beside the server they came from, in an environment of three packages.

A thousand queries of each kind, of mixed sizes and saved in mixed ways, over HTTP and by
`app/export/classify.py` with onnxruntime, numpy and Pillow alone, freshly installed. With
OMNIGLOT=PATH and PHOTOGRAPHS=PATH on their test classes, as `load_copies`, else on the samples.
"""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from inkling.export import classify
from PIL import Image

from ..odd_pictures import SAVED
from ..pictures import saved
from .load_copies import EACH_KIND, Groups, Kind, read
from .server import serving

SESSIONS, QUERIES, AT_ONCE = 10, 100, 25
MOST_CLASSES = 20
TOLERANCE, TIE = 1e-4, 2e-4
ODD = ("very large", "very large, turned")
"""Too slow to send often."""
RUN = """
import importlib.util, json, pathlib, sys
sys.path.insert(0, sys.argv[1])
from classify import Classifier, check
assert not any(map(importlib.util.find_spec, ("torch", "inkling", "onnx")))
folder = pathlib.Path(sys.argv[2])
classifier = Classifier(str(folder / "session.onnx"))
assert check(classifier)
names = sorted(path.name for path in folder.glob("*.image"))
answers = {name: classifier((folder / name).read_bytes()) for name in names}
print(json.dumps({"labels": classifier.labels, "answers": answers}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with what the script needs alone."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    needed = ["onnxruntime", "numpy", "pillow"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *needed], check=True)
    return python


def drawn(groups: Groups, chooser: random.Random) -> tuple[list[tuple[str, bytes]], list[bytes]]:
    """A support set of one to five images of each class, and queries of the same classes."""
    classes = groups[chooser.choice(sorted(groups))]
    names = chooser.sample(sorted(classes), min(chooser.randint(2, MOST_CLASSES), len(classes)))
    shots, support, others = chooser.randint(1, 5), list[tuple[str, bytes]](), list[bytes]()
    for name in names:
        own = chooser.sample(classes[name], len(classes[name]))
        support += [(name, content) for content in own[:shots]]
        others += own[shots:]
    return support, [varied(chooser.choice(others), chooser) for _ in range(QUERIES)]


def varied(content: bytes, chooser: random.Random) -> bytes:
    """The file as it is, in another size, or saved in another way."""
    way = chooser.random()
    if way < 0.2:
        return content
    image = Image.open(io.BytesIO(content)).convert("RGB")
    shorter = chooser.randint(24, 700)
    narrow = chooser.uniform(1, 3)
    size = (shorter, int(shorter * narrow))
    image = image.resize(size, chooser.choice(list(Image.Resampling)[:4]))
    image = image.rotate(chooser.choice((0, 90)), expand=True)
    if way < 0.6:
        return saved(image, chooser.choice(("PNG", "JPEG", "WEBP")))
    return SAVED[chooser.choice([name for name in SAVED if name not in ODD])](image)


def predicted(
    http: httpx.Client, session_id: str, queries: list[bytes]
) -> Iterator[tuple[dict[str, float], float]]:
    for begin in range(0, len(queries), AT_ONCE):
        files = [("image", ("image", content)) for content in queries[begin : begin + AT_ONCE]]
        answer = http.post("/predict", files=files, data={"session_id": session_id})
        assert answer.status_code == 200, answer.text
        for each in answer.json()["predictions"]:
            by_label = {entry["label"]: entry["probability"] for entry in each["probabilities"]}
            yield by_label, each["none_of_these"]["score"]


@EACH_KIND
def test_a_thousand_queries_get_the_same_answers(tmp_path: Path, python: Path, kind: Kind) -> None:
    groups, chooser = read(kind), random.Random(3)
    apart, off_scores, others, ties = list[float](), list[float](), 0, 0
    seconds = list[float]()
    initialization = {"drawings": "omniglot", "photographs": "photos"}[kind]
    with (
        serving(tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=300, trust_env=False) as http,
    ):
        for number in range(SESSIONS):
            support, queries = drawn(groups, chooser)
            files = [(label, ("image", content)) for label, content in support]
            made = http.post("/adapt", files=files, data={"initialization": initialization})
            assert made.status_code == 201, made.text
            session_id = made.json()["session_id"]
            began = time.perf_counter()
            file = http.get(f"/sessions/{session_id}/export", params={"format": "onnx"})
            seconds.append(time.perf_counter() - began)
            assert file.status_code == 200, file.text
            folder = tmp_path / f"{number}"
            folder.mkdir()
            (folder / "session.onnx").write_bytes(file.content)
            for place, content in enumerate(queries):
                (folder / f"{place:03}.image").write_bytes(content)
            script = Path(classify.__file__).parent
            done = subprocess.run(
                [python, "-I", "-c", RUN, script, folder],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout.splitlines()[-1])
            for (expected, score), (found, own_score) in zip(
                predicted(http, session_id, queries), told["answers"].values(), strict=True
            ):
                own = dict(zip(told["labels"], found, strict=True))
                apart.append(max(abs(own[label] - expected[label]) for label in expected))
                off_scores.append(abs(own_score - score))
                first, second = sorted(expected.values(), reverse=True)[:2]
                differs = max(own, key=own.__getitem__) != max(expected, key=expected.__getitem__)
                ties += differs and first - second <= TIE
                others += differs and first - second > TIE
    largest = np.quantile(apart, [0.5, 0.99, 1])
    print(
        f"\n{kind}: {len(apart)} queries, probabilities at most {largest[2]:.1e} apart (99 % at "
        f"most {largest[1]:.1e}, half {largest[0]:.1e}), scores {max(off_scores):.1e}; {others} "
        f"other labels and {ties} ties; files of {len(file.content) / 1e6:.1f} MB, the first after "
        f"{seconds[0]:.1f} s and others after {max(seconds[1:]):.2f} s at most"
        f" ({sys.platform}, Python {sys.version.split()[0]})"
    )
    assert len(apart) == SESSIONS * QUERIES
    assert max(apart) <= TOLERANCE
    assert max(off_scores) <= TOLERANCE
    assert not others
