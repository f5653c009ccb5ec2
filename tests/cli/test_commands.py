from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from inkling import Client, InklingError, RequestRefused, ServerUnreachable
from inkling.cli.app import app, main
from inkling.cli.demo import Kind, draw
from inkling.data.sources import EncodedClass
from inkling.errors import InvalidInput
from inkling.sessions.connections import DATABASE
from inkling.sessions.sqlite_store import SqliteStore
from inkling.sessions.store import Bounds
from typer.testing import CliRunner

from ..training.test_training import SMALL


@pytest.fixture
def data(tmp_path: Path, encoded: tuple[EncodedClass, ...]) -> Path:
    for split, members in (
        ("train", encoded[:12]),
        ("validation", encoded[12:16]),
        ("test", encoded[16:]),
    ):
        for entry in members:
            folder = tmp_path / "data" / split / entry.name
            folder.mkdir(parents=True)
            for name, content in entry.files:
                (folder / name).write_bytes(content)
    return tmp_path / "data"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_train_then_evaluate_then_record(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "small.toml"
    recipe.write_text(SMALL)
    told = run("train", str(recipe), "--data", str(data), "--output", str(tmp_path / "run"))
    assert "maml 4/4" in told
    made = str(tmp_path / "run/checkpoint")
    measure = ["evaluate", made, "--data", str(data), "--data-format", "folders"]
    measure += ["--n-way", "3", "--n-query", "5", "--episodes", "10", "--seed", "4"]
    found = json.loads(run(*measure, "--json"))
    assert found["split"] == "folders test"
    assert 0 < found["accuracy"] <= 1
    assert found["accuracy"] - found["nearest_centroid"] == pytest.approx(found["difference"])
    table = run(*measure, "--record")
    assert f"{100 * found['accuracy']:.2f} %" in table
    card = (tmp_path / "run/checkpoint/README.md").read_text()
    assert f"{100 * found['accuracy']:.2f} ±" in card
    assert found["zero_steps"] == pytest.approx(
        found["accuracy"] - found["difference_to_zero_steps"]
    )
    several = run(*measure, "--n-way", "2", "--n-shot", "1", "--n-shot", "2", "--json")
    rows = [json.loads(line) for line in several.splitlines()]
    assert [(row["n_way"], row["n_shot"]) for row in rows] == [(3, 1), (3, 2), (2, 1), (2, 2)]
    assert rows[0] == found


def test_a_refusal_is_one_line_and_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["inkling", "train", "nothing", "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("inkling: expected a recipe file or one of")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("INKLING_PROT", "1", "unknown settings: INKLING_PROT"),
        ("INKLING_PORT", "http", "INKLING_PORT"),
        ("INKLING_SESSION_TTL_SECONDS", "inf", "INKLING_SESSION_TTL_SECONDS"),
        ("INKLING_INITIALIZATIONS", "nothing", "one of omniglot"),
        ("INKLING_INITIALIZATIONS", "omniglot,omniglot", "different names"),
    ],
)
def test_a_server_does_not_start_with_a_wrong_environment(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    told: str,
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", ["inkling", "serve"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert told in capsys.readouterr().err


def test_a_process_that_does_not_start_ends_with_one_line(tmp_path: Path) -> None:
    """Two servers on one folder: the second one says why, and nothing more."""
    owner = SqliteStore(tmp_path, Bounds(10**6, 10))
    for path in tmp_path.iterdir():
        if path.name != DATABASE:
            path.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "inkling", "serve"],
        env={**os.environ, "INKLING_SESSION_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    owner.close()
    assert done.returncode == 1
    assert "another process keeps its sessions there" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_demo_tells_what_happened_and_how_to_do_it_by_hand() -> None:
    told = run("demo", "--seed", "1")
    assert "POST /adapt: 25 images" in told
    assert "of 50 right" in told
    assert "curl -s http://127.0.0.1:8000/adapt" in told


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("kind", "name"), [("photographs", "photos"), ("drawings", "omniglot")])
def test_the_demo_is_right_at_least_nine_times_in_ten(
    server: str, kind: Kind, name: str, seed: int
) -> None:
    support, queries = draw(kind, seed, n_way=5, n_shot=5, n_query=10)
    with Client(server) as inkling:
        session = inkling.adapt(support)
        assert session.initialization == name
        right = asked = 0
        for label, images in queries.items():
            predictions = inkling.predict(session.session_id, images)
            right += sum(prediction.label == label for prediction in predictions)
            asked += len(images)
        inkling.forget(session.session_id)
    assert asked == 50
    assert right >= 0.9 * asked


def test_the_client_tells_what_the_server_refused(server: str, samples: Path) -> None:
    with Client(server) as inkling:
        with pytest.raises(RequestRefused, match=r"support\[1\]: expected PNG") as refused:
            inkling.adapt({"cat": [samples / "Keble_01/01.png", b"text"], "dog": [b""]})
        assert refused.value.status == 422
        with pytest.raises(RequestRefused, match="No such session"):
            inkling.session("unknown")
        assert [entry["name"] for entry in inkling.initializations()] == ["photos", "omniglot"]


def test_the_client_keeps_labels_as_they_are_and_loses_none(server: str, samples: Path) -> None:
    labels = ['say "hi"', "a\\b", "täg=1;x"]
    drawings = sorted((samples / "Keble_01").iterdir())
    with Client(server) as inkling:
        made = inkling.adapt(dict(zip(labels, drawings, strict=False)), steps=None)
        assert made.labels == tuple(sorted(labels))
        (prediction,) = inkling.predict(made.session_id, drawings[3], top_k=2)
        assert len(prediction.ranking) == 2
        with pytest.raises(InvalidInput, match="empty"):
            inkling.adapt({"full": drawings[:1], "empty": []})
        with pytest.raises(RequestRefused, match="404"):
            inkling.session("../initializations")


def test_the_client_tells_when_nobody_answers() -> None:
    with Client("http://127.0.0.1:9") as inkling, pytest.raises(ServerUnreachable):
        inkling.initializations()
    assert issubclass(ServerUnreachable, InklingError)
