"""An exported file in a browser, by onnxruntime-web: the same probabilities as the server's.

`ONNXRUNTIME_WEB` is the folder of the npm package's `dist`; without it what
`npm install --prefix build/web onnxruntime-web` leaves is taken.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import numpy as np
import pytest
from inkling.cli.demo import SAMPLES, images
from inkling.export import classify
from PIL import Image
from playwright.sync_api import sync_playwright

from ..answers import probabilities
from ..folder_server import serving_folder
from ..odd_pictures import SAVED

DIST = Path(os.environ.get("ONNXRUNTIME_WEB") or "build/web/node_modules/onnxruntime-web/dist")
TOLERANCE = 1e-4
ODD = ("palette", "fading", "orientation 6", "grey", "small", "large JPEG")
CLASSES: dict[Literal["drawings", "photographs"], tuple[str, ...]] = {
    "drawings": ("Keble_01", "Ge_ez_01", "Tibetan_01"),
    "photographs": ("lemon", "garlic"),
}
PAGE = """<!doctype html><title>onnxruntime-web</title><script type="module">
import * as ort from "/ort/ort.wasm.min.mjs";
ort.env.wasm.wasmPaths = "/ort/";
ort.env.wasm.numThreads = 1;
window.classify = async (sizes) => {
  const session = await ort.InferenceSession.create("/session.onnx");
  const answers = [];
  for (const [place, [height, width]] of sizes.entries()) {
    const pixels = new Uint8Array(await (await fetch(`/${place}.rgba`)).arrayBuffer());
    const image = new ort.Tensor("uint8", pixels, [1, height, width, 4]);
    const { probabilities, none_of_these } = await session.run({ image });
    answers.push([[...probabilities.data], none_of_these.data[0]]);
  }
  return answers;
};
</script>"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder whose files are served, onnxruntime-web among them, and where."""
    if not (DIST / "ort.wasm.min.mjs").exists():
        pytest.skip(
            f"there is no onnxruntime-web in {DIST}: npm install --prefix build/web onnxruntime-web"
        )
    (tmp_path / "ort").symlink_to(DIST.resolve())
    (tmp_path / "index.html").write_text(PAGE)
    with serving_folder(tmp_path) as url:
        yield tmp_path, url


@pytest.mark.parametrize("kind", CLASSES)
def test_a_file_says_in_a_browser_what_the_server_says(
    http: httpx.Client, site: tuple[Path, str], kind: Literal["drawings", "photographs"]
) -> None:
    chromium = shutil.which("chromium")
    assert chromium, "expected Debian's chromium"
    folder, url = site
    files = {name: images(SAMPLES[kind] / name) for name in CLASSES[kind]}
    support = [(name, path.read_bytes()) for name, paths in files.items() for path in paths[:3]]
    made = http.post("/adapt", files=[(name, ("image", content)) for name, content in support])
    session_id = made.json()["session_id"]
    file = http.get(f"/sessions/{session_id}/export", params={"format": "onnx"}, timeout=300)
    (folder / "session.onnx").write_bytes(file.content)
    classifier = classify.Classifier(str(folder / "session.onnx"))
    queries = [path.read_bytes() for paths in files.values() for path in paths[5:8]]
    queries += [SAVED[name](Image.open(io.BytesIO(queries[0])).convert("RGB")) for name in ODD]
    sizes = list[list[int]]()
    for place, content in enumerate(queries):
        pixels = classify.pixels(content, classifier.useful_side)
        (folder / f"{place}.rgba").write_bytes(np.ascontiguousarray(pixels).tobytes())
        sizes.append(list(pixels.shape[:2]))
    sent = [("image", ("image", content)) for content in queries]
    told = http.post("/predict", files=sent, data={"session_id": session_id}).json()["predictions"]

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        page.wait_for_function("() => 'classify' in window")
        answers = page.evaluate("sizes => classify(sizes)", sizes)
        browser.close()

    for expected, (found, apart) in zip(told, answers, strict=True):
        own = dict(zip(classifier.labels, found, strict=True))
        assert own == pytest.approx(probabilities(expected), abs=TOLERANCE)
        assert apart == pytest.approx(expected["none_of_these"]["score"], abs=TOLERANCE)
