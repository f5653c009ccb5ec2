"""What a session object does, against a real server, by either client."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from inkling import Conflict, InputRefused, NotFound, Retries
from inkling.errors import BadData

from . import proxy as harm
from .either import BOTH
from .proxy import between

Opened = Callable[..., AbstractContextManager[Any]]
Drawings = dict[str, list[bytes]]
NAMES = ("Keble_01", "Tengwar_01", "Tibetan_01")
AT_ONCE = Retries(first_seconds=0)
pytestmark = pytest.mark.parametrize("opened", BOTH)


@pytest.fixture
def folder(drawings: Drawings, tmp_path: Path) -> Path:
    """Three characters, four drawings of each."""
    for name in NAMES:
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "set" / name / f"{number}.png").write_bytes(drawings[name][number])
    return tmp_path / "set"


def test_a_session_is_deleted_where_its_context_ends(
    server: str, folder: Path, opened: Opened
) -> None:
    with opened(server) as inkling:
        with inkling.adapt(folder) as session:
            assert inkling.open(session.session_id).labels == NAMES
        with pytest.raises(NotFound, match="404 No such session"):
            session.refresh()
        with inkling.adapt(folder) as session:
            session.delete()


def test_an_adaptation_tells_how_it_went(server: str, folder: Path, opened: Opened) -> None:
    with opened(server) as inkling, inkling.adapt(folder, report=True, steps=3) as session:
        made = session.adaptation
        assert made.images == dict.fromkeys(NAMES, 4)
        assert len(made.loss) == 4
        assert made.loss[0] > made.loss[-1]
        assert made.choice.chosen == session.initialization == "omniglot"
        assert made.report.n_checked == 12
        assert made.expires_at > made.created_at
        assert made["steps"] == 3


def test_suspects_are_named_by_their_files(
    server: str, folder: Path, drawings: Drawings, opened: Opened
) -> None:
    odd = folder / NAMES[0] / "a mistake.png"
    odd.write_bytes(drawings[NAMES[2]][9])
    with opened(server) as inkling, inkling.adapt(folder) as session:
        (first, *_) = session.report(embedding=True).suspects
        assert (first.source, first.looks_like) == (str(odd), NAMES[2])
        assert len(session.report(embedding=True).embedding) == 13
        session.remove(first.position)
        assert session.info.images == dict.fromkeys(NAMES, 4)
        assert str(odd) not in session.sources
        assert session.report().embedding is None
        found = session.report().suspects
        assert all(each.source == session.sources[each.position] for each in found)


def test_a_position_is_one_of_the_session_as_it_was_seen(
    server: str, folder: Path, opened: Opened
) -> None:
    with opened(server) as inkling, inkling.adapt(folder) as session:
        other = inkling.open(session.session_id)
        other.remove(0)
        with pytest.raises(Conflict):
            session.remove(0)
        session.add({NAMES[0]: folder / NAMES[0] / "0.png"})
        assert session.sources is None
        with pytest.raises(NotFound):
            session.remove(99)


@pytest.mark.parametrize("fault", [harm.answer_lost, harm.request_cut, harm.STILL_RUNNING])
def test_an_image_is_taken_out_once(
    server: str, folder: Path, opened: Opened, fault: harm.Fault
) -> None:
    faults = {"DELETE /sessions/*/support/0": [fault]}
    with (
        between(server, faults) as proxy,
        opened(proxy.url, retries=AT_ONCE) as inkling,
        inkling.adapt(folder) as session,
    ):
        session.remove(0)
        assert inkling.session(session.session_id).images == {
            **dict.fromkeys(NAMES, 4),
            NAMES[0]: 3,
        }


def test_a_session_is_taken_along(
    server: str, folder: Path, drawings: Drawings, tmp_path: Path, opened: Opened
) -> None:
    path = tmp_path / "drawings.safetensors"
    faults = {"POST /sessions": [harm.answer_lost], "GET /sessions/*/export": [harm.answer_lost]}
    queries = [drawings[name][7] for name in NAMES]
    with between(server, faults) as proxy, opened(proxy.url, retries=AT_ONCE) as inkling:
        with inkling.adapt(folder) as session:
            assert session.export(path) == path.read_bytes()
            expected = [each.probability for each in session.predict(queries)]
            with pytest.raises(BadData, match=r"onnx or safetensors.* got '.*\.zip'"):
                session.export(tmp_path / "drawings.zip")
        before = {each.session_id for each in inkling.sessions()}
        with inkling.restore(path, ttl_seconds=60) as restored:
            after = {each.session_id for each in inkling.sessions()}
            assert after - before == {restored.session_id}
            assert restored.info.ttl_seconds == 60
            found = [each.probability for each in restored.predict(queries)]
            assert found == pytest.approx(expected, abs=1e-5)


def test_folders_and_archives_are_classified_whole(
    server: str, folder: Path, tmp_path: Path, opened: Opened
) -> None:
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*.png")):
            packed.write(path, path.relative_to(folder))
    names = [f"{name}/{number}.png" for name in NAMES for number in range(4)]
    with opened(server) as inkling, inkling.adapt(archive) as session:
        for root in (folder, archive):
            found = session.predict(root)
            assert [each.source for each in found] == [str(root / name) for name in names]
            assert [each.label for each in found] == [name.split("/")[0] for name in names]
        assert [each.source for each in session.predict([folder / names[5], b"no"][:1])] == [
            str(folder / names[5])
        ]
        (tmp_path / "empty").mkdir()
        with pytest.raises(BadData, match=r"expected images in .*empty, got none"):
            session.predict(tmp_path / "empty")


def test_a_refused_image_is_named_by_its_place_and_its_file(
    server: str, folder: Path, tmp_path: Path, opened: Opened
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    good = folder / NAMES[0] / "0.png"
    with opened(server) as inkling, inkling.adapt(folder) as session:
        with pytest.raises(InputRefused, match=rf"images\[1\] \({broken}\): ") as raised:
            session.predict([good, broken])
        assert [(each.field, each.index) for each in raised.value.problems] == [("images", 1)]
        with pytest.raises(InputRefused, match=r"support\[1\] "):
            session.add({NAMES[0]: [good, broken]})
        assert session.refresh().version == 1
