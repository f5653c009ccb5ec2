"""All that requests run was compiled when the server started."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import httpx
from numba.core import event
from inkling.cli.demo import SAMPLES
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings

class Compiled(event.Listener):
    def on_start(self, happened):
        print("compiled", happened.data["dispatcher"])
    def on_end(self, happened):
        pass

def files(first, stop, classes=4):
    drawn = SAMPLES["drawings"].iterdir()
    folders = sorted(folder for folder in drawn if folder.is_dir())[:classes]
    return [
        (folder.name, (path.name, path.read_bytes()))
        for folder in folders
        for path in sorted(folder.glob("*.png"))[first:stop]
    ]

def sent(answer):
    answer.raise_for_status()
    return answer.json()

# Of two, so that images are looked at to choose one.
loaded = ("omniglot", "second=omniglot")
with local_server(create_app(Settings(initializations=loaded, session_store="memory"))) as url:
    with event.install_listener("numba:compile", Compiled()), httpx.Client(base_url=url) as http:
        for number in (1, 5, 12):
            options = {"report": "true", "keep_support": "true", "steps": "3"}
            made = sent(http.post("/adapt", files=files(0, number), data=options, timeout=60))
            made = sent(http.post("/adapt", files=files(0, number)))
            session = made["session_id"]
            for queries in (1, 20):
                images = [("image", file) for _, file in files(12, 12 + queries)]
                sent(http.post("/predict", files=images, data={"session_id": session}))
            sent(http.post(f"/sessions/{session}/support", files=files(13, 14, 7)))
            sent(http.post(f"/sessions/{session}/evaluate", files=files(14, 16)))
print("done")
"""


def test_no_request_waits_for_a_compilation() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.stdout == "done\n", done.stdout + done.stderr[-2000:]
