from __future__ import annotations

import doctest
from collections.abc import Iterator
from pathlib import Path

import pytest
from inkling import Client, RequestRefused, client


@pytest.fixture
def inkling(server: str) -> Iterator[Client]:
    with Client(server) as connected:
        yield connected


def test_a_folder_per_class_becomes_a_session(
    inkling: Client, samples: Path, tmp_path: Path
) -> None:
    for label, name in (("tengwar", "Tengwar_01"), ("tibetan", "Tibetan_01")):
        (tmp_path / label).mkdir()
        for number in (1, 2):
            image = (samples / name / f"{number:02}.png").read_bytes()
            (tmp_path / label / f"{number}.png").write_bytes(image)
    made = inkling.adapt(tmp_path, report=True)
    assert made.labels == ("tengwar", "tibetan")
    assert made.answer["report"]["n_checked"] == 4
    grown = inkling.add_support(made.session_id, {"keble": samples / "Keble_01/01.png"})
    assert grown.labels == ("keble", "tengwar", "tibetan")
    measured = inkling.evaluate(made.session_id, {"tibetan": [samples / "Tibetan_01/09.png"]})
    assert measured["n_images"] == 1
    assert made.session_id in {entry["session_id"] for entry in inkling.sessions()}
    inkling.forget(made.session_id)
    with pytest.raises(RequestRefused, match="404"):
        inkling.add_support(made.session_id, {"keble": samples / "Keble_01/01.png"})


def test_the_example_of_the_docstring_runs(
    server: str, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawings = ("Tengwar_01/01", "Tengwar_01/02", "Tibetan_01/01", "Tengwar_01/07")
    for number, drawing in enumerate(drawings, start=1):
        (tmp_path / f"{number}.png").write_bytes((samples / f"{drawing}.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    text = (client.__doc__ or "").replace("http://127.0.0.1:8000", server)
    example = doctest.DocTestParser().get_doctest(text, vars(client), "client", None, None)
    assert example.examples
    told: list[str] = []
    assert doctest.DocTestRunner().run(example, out=told.append).failed == 0, told
