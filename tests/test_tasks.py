"""The worked tasks do what they say, on the samples."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from inkling.cli.app import app
from inkling.cli.demo import SAMPLES
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from .folder_server import serving_folder

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "app/TASKS.md").read_text()
TASKS = {part.partition("\n")[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def blocks(task: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TASKS[task], re.DOTALL)


def examples(folder: Path, names: dict[str, str], numbers: Sequence[int]) -> None:
    """Samples of kinds, as classes of other names."""
    for kind, name in names.items():
        (folder / name).mkdir(parents=True)
        for path in SAMPLES["photographs"].parent.glob(f"*/{kind}/*"):
            if int(path.stem) in numbers:
                shutil.copy(path, folder / name / path.name)


def commands(task: str, server: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a task's lines on a server; gives what each printed."""
    monkeypatch.setenv("INKLING_SERVER", server)
    told = []
    for line in blocks(task, "sh")[0].splitlines():
        command, _, target = line.partition(" > ")
        done = CliRunner().invoke(app, shlex.split(command.removeprefix(".venv/bin/inkling ")))
        assert done.exit_code == 0, done.output
        if target:
            Path(target).write_text(done.stdout)
        told.append(done.stdout)
    return told


def program(task: str, folder: Path, **places: str) -> str:
    """Run a task's program; gives what it printed."""
    (code,) = blocks(task, "python")
    for name, value in {"http://127.0.0.1:8000": places.pop("server", ""), **places}.items():
        code = code.replace(name, value)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_photographs_are_sorted(here: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"lemon": "receipts", "garlic": "garden", "avocado": "people"}
    examples(here / "examples", names, range(1, 6))
    (here / "phone").mkdir()
    for kind, name in names.items():
        shutil.copy(SAMPLES["photographs"] / kind / "06.jpg", here / "phone" / f"{name}.jpg")
    commands("Sort the photographs of a phone", server, monkeypatch)
    sorted_files = {
        path.relative_to(here / "sorted").as_posix() for path in here.glob("sorted/*/*")
    }
    assert sorted_files == {f"{name}/{name}.jpg" for name in names.values()}
    assert len((here / "told.csv").read_text().splitlines()) == 4
    assert len(list((here / "phone").iterdir())) == 3


def test_good_parts_are_told_from_bad(here: Path, server: str) -> None:
    names = {"lemon": "good", "garlic": "bad"}
    examples(here / "parts", names, range(1, 9))
    examples(here / "held_out", names, range(9, 14))
    shutil.copy(SAMPLES["photographs"] / "lemon/15.jpg", here / "next.jpg")
    told = program("Tell good parts from bad", here, server=server)
    assert re.match(r"\d+% of 10 are right\n", told)
    assert re.search(r"^bad: \d+% of 5 found$", told, re.MULTILINE)
    assert told.endswith(("passes\n", "look at it\n"))


def test_a_form_is_read(here: Path, server: str) -> None:
    kinds = ("Tibetan_01", "Oriya_01", "Keble_01")
    examples(here / "signs", dict(zip(kinds, ("yes", "no", "later"), strict=True)), range(1, 6))
    form = Image.new("L", (580, 145), 255)
    draw = ImageDraw.Draw(form)
    for column, kind in enumerate(("Oriya_01", None, "Tibetan_01", "Keble_01")):
        place = 20 + 140 * column
        if kind:
            form.paste(Image.open(SAMPLES["drawings"] / kind / "08.png").convert("L"), (place, 20))
        draw.rectangle((place, 20, place + 105, 125), outline=0)
    form.save(here / "form.png")
    told = program("Read a form that was filled in by hand", here, server=server)
    assert told == "['no', None, 'yes', 'later']\n"


@pytest.fixture
def camera(here: Path) -> Iterator[str]:
    """The address of a camera that sees one thing."""
    shutil.copy(SAMPLES["photographs"] / "garlic/06.jpg", here / "snapshot.jpg")
    with serving_folder(here) as url:
        yield f"{url}snapshot.jpg"


def test_a_camera_is_watched(here: Path, server: str, camera: str) -> None:
    examples(here / "states", {"lemon": "open", "garlic": "closed"}, range(1, 6))
    places = {
        "http://127.0.0.1:8080/snapshot.jpg": camera,
        "PICTURES, SECONDS = 10, 1": "PICTURES, SECONDS = 3, 0",
    }
    told = program("Watch a webcam", here, server=server, **places)
    assert re.fullmatch(r"\d\d:\d\d:\d\d closed\n", told)


def test_another_program_classifies(
    here: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"lemon": "receipts", "garlic": "garden"}
    examples(here / "examples", names, range(1, 6))
    commands("Classify inside another program", server, monkeypatch)
    shutil.copy(ROOT / "app/export/classify.py", here / "classify.py")
    shutil.copy(SAMPLES["photographs"] / "garlic/07.jpg", here / "next.jpg")
    assert '"label": "garden"' in program("Classify inside another program", here)
