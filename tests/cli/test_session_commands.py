"""The commands that make sessions and classify with them, as a shell runs them."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from inkling.cli.app import app, main
from inkling.cli.demo import SAMPLES
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings
from typer.testing import CliRunner

SHOTS, QUERIES = ("01.jpg", "02.jpg", "03.jpg"), ("09.jpg", "10.jpg")


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with local_server(create_app(Settings(session_store="memory", workers=1))) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = [path.name for path in sorted(SAMPLES["photographs"].iterdir()) if path.is_dir()][:3]
    for name in names:
        for files, target in ((SHOTS, f"support/{name}"), (QUERIES, f"new/{name}")):
            (tmp_path / target).mkdir(parents=True)
            for file in files:
                shutil.copy(SAMPLES["photographs"] / name / file, tmp_path / target)
    return tmp_path


def told(*arguments: object, status: int = 0) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == status, (done.output, done.exception)
    return done.stdout


@pytest.mark.parametrize("served", [True, False], ids=["by a server", "without a server"])
def test_a_folder_is_learned_and_another_one_sorted(
    folder: Path, server_url: str, served: bool
) -> None:
    server = ("--server", server_url) if served else ()
    assert "session fruit:" in told("adapt", folder / "support", "--name", "fruit", *server)
    rows = list(
        csv.DictReader(io.StringIO(told("predict", "fruit", folder / "new", "--format", "csv")))
    )
    right = [row["label"] == Path(row["image"]).parent.name for row in rows]
    assert len(rows) == 6
    assert sum(right) >= 5
    for _ in range(2):
        told("predict", "fruit", folder / "new", "--copy-to", folder / "sorted")
        copies = [path for path in (folder / "sorted").rglob("*") if path.is_file()]
        assert sorted(path.read_bytes() for path in copies) == sorted(
            path.read_bytes() for path in (folder / "new").rglob("*.jpg")
        )
    assert "images right when held out" in told("report", "fruit")
    file = folder / "fruit.safetensors"
    told("export", "fruit", file)
    told("forget", "fruit")
    told("restore", file, "--name", "fruit", *server)
    again = json.loads(told("predict", "fruit", folder / "new", "--format", "json"))
    assert [each["label"] for each in again["predictions"]] == [row["label"] for row in rows]
    listed = json.loads(told("sessions", "--json", *server))
    assert "fruit" in [entry["name"] for entry in listed]
    told("forget", "fruit")


def test_a_name_stands_for_one_session(folder: Path, server_url: str) -> None:
    told("adapt", folder / "support", "--name", "fruit", "--server", server_url)
    for name in ("fruit", "../fruit", ""):
        done = CliRunner().invoke(
            app, ["adapt", str(folder), "--name", name, "--server", server_url]
        )
        assert "name" in str(done.exception)


def test_a_missing_image_ends_with_one_line(
    folder: Path,
    server_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told("adapt", folder / "support", "--name", "fruit", "--server", server_url)
    monkeypatch.setattr("sys.argv", ["inkling", "predict", "fruit", "nowhere.jpg"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == "inkling: nowhere.jpg: no such file\n"


def test_a_name_that_is_none_is_told_with_where_names_are_listed(folder: Path) -> None:
    done = CliRunner().invoke(app, ["predict", "friut", str(folder / "new")])
    assert done.exit_code == 1
    assert "got 'friut': `inkling sessions` lists them" in str(done.exception)


def test_a_broken_image_is_left_out_and_the_others_are_told(folder: Path) -> None:
    told("adapt", folder / "support", "--name", "fruit")
    broken = folder / "new" / "cut off.jpg"
    broken.write_bytes(next((folder / "new").rglob("*.jpg")).read_bytes()[:900])
    (folder / "names.txt").write_text("no image")
    done = CliRunner().invoke(
        app,
        [
            "predict",
            "fruit",
            str(folder / "new"),
            str(folder / "names.txt"),
            "--format",
            "csv",
            "--copy-to",
            str(folder / "sorted"),
        ],
    )
    assert done.exit_code == 1, done.exception
    assert len(list(csv.DictReader(io.StringIO(done.stdout)))) == 6
    for name in (broken, folder / "names.txt"):
        assert f"left out {name}" in done.stderr
    assert len([path for path in (folder / "sorted").rglob("*") if path.is_file()]) == 6
