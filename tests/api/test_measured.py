from __future__ import annotations

import shutil
from pathlib import Path

import httpx
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import load_checkpoint, record_result
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings


def test_what_no_call_is_answered_by_is_not_listed_as_measured(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(find_checkpoint("omniglot"), folder)
    results = load_checkpoint(folder).config.results
    record_result(folder, results[0].model_copy(update={"transductive": True}))
    assert len(load_checkpoint(folder).config.results) == len(results) + 1
    settings = Settings(initializations=(str(folder),), workers=1, session_store="memory")
    with local_server(create_app(settings)) as url:
        (listed,) = httpx.get(f"{url}/initializations", trust_env=False).json()["initializations"]
    assert len(listed["measured"]) == len(results)
