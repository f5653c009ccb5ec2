"""Calls that a server would not take whole, against one that takes little."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from inkling import InputRefused, Retries
from inkling.cli.local_server import local_server
from inkling.errors import InvalidInput
from inkling.main import create_app
from inkling.settings import Settings
from PIL import Image

from ..pictures import saved
from . import proxy as harm
from .either import BOTH
from .proxy import between

Opened = Callable[..., AbstractContextManager[Any]]
Drawings = dict[str, list[bytes]]
NAMES = ("Keble_01", "Tengwar_01", "Tibetan_01")
BODY_BYTES = 8192
"""Of which the client uses half, in which there is room for ten drawings."""
AT_ONCE = Retries(first_seconds=0)
pytestmark = pytest.mark.parametrize("opened", BOTH)


@pytest.fixture(scope="module")
def small_server() -> Iterator[str]:
    settings = Settings(
        initializations=("omniglot",),
        workers=1,
        session_store="memory",
        max_body_bytes=BODY_BYTES,
        max_support_images=30,
        max_query_images=7,
        max_classes=3,
    )
    with local_server(create_app(settings)) as url:
        yield url


def test_a_support_set_is_sent_in_parts_that_fit(
    small_server: str, drawings: Drawings, tmp_path: Path, opened: Opened
) -> None:
    for name in NAMES:
        (tmp_path / name).mkdir()
        for number in range(9):
            (tmp_path / name / f"{number}.png").write_bytes(drawings[name][number])
    faults = {"POST /adapt": [harm.answer_lost], "POST /sessions/*/support": [harm.answer_lost]}
    with (
        between(small_server, faults) as proxy,
        opened(proxy.url, retries=AT_ONCE) as inkling,
        inkling.adapt(tmp_path, report=True) as session,
    ):
        assert proxy.seen["POST /adapt"] == 2
        assert proxy.seen["POST /sessions/*/support"] > 2
        assert session.refresh().images == dict.fromkeys(NAMES, 9)
        assert session.adaptation.report.n_checked == 27
        assert sorted(session.sources) == [str(path) for path in sorted(tmp_path.rglob("*.png"))]
        found = session.predict(session.sources)
        told = [(each.source, each.label) for each in found]
        assert told == [(source, Path(source).parent.name) for source in session.sources]
        queries = {name: drawings[name][9:15] for name in NAMES}
        together = session.evaluate(queries)
        apart = [session.evaluate({name: images}) for name, images in queries.items()]
        assert together.n_images == 18
        assert together.accuracy == pytest.approx(sum(part.accuracy for part in apart) / 3)
        assert together.log_loss == pytest.approx(sum(part.log_loss for part in apart) / 3)
        assert [each.recall for each in together.classes] == [part.accuracy for part in apart]
        assert together.calibration_error is None
        assert apart[0].calibration_error is not None


def test_a_refusal_of_a_later_part_undoes_the_first_and_names_the_image(
    small_server: str, drawings: Drawings, tmp_path: Path, opened: Opened
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    support = {NAMES[0]: drawings[NAMES[0]][:9], NAMES[1]: [*drawings[NAMES[1]][:8], broken]}
    with opened(small_server) as inkling:
        before = len(list(inkling.sessions()))
        with pytest.raises(InputRefused, match=re.escape(f"support[17] ({broken}): ")):
            inkling.adapt(support)
        assert len(list(inkling.sessions())) == before
        with inkling.adapt({name: drawings[name][:2] for name in NAMES}) as session:
            with pytest.raises(InputRefused, match=r"images\[8\] "):
                session.predict([*drawings[NAMES[0]][:8], broken])
            with pytest.raises(InputRefused) as raised:
                session.add({NAMES[0]: [*drawings[NAMES[0]][2:20], broken]})
            added = sum(session.refresh().images.values()) - 6
            assert raised.value.__notes__ == [f"{added} images before these were added"]
            assert added > 0


def test_warnings_on_a_later_part_name_the_place_in_the_whole(
    small_server: str, drawings: Drawings, opened: Opened
) -> None:
    blank = saved(Image.new("L", (50, 50), 255))
    with (
        opened(small_server) as inkling,
        inkling.adapt({name: drawings[name][:2] for name in NAMES}) as session,
    ):
        found = session.predict([*drawings[NAMES[0]][:9], blank])
        messages = [each.message for each in found.warnings if each.code == "blank_image"]
        assert messages == ["'images'[9] shows nothing"]


def test_broken_images_are_left_out_of_every_part(
    small_server: str, drawings: Drawings, opened: Opened
) -> None:
    broken = drawings[NAMES[0]][0][:60]
    queries = [broken, *drawings[NAMES[0]][:9], b"none", *drawings[NAMES[1]][:9], broken]
    with (
        opened(small_server) as inkling,
        inkling.adapt({name: drawings[name][:2] for name in NAMES}) as session,
    ):
        found = session.predict(queries, leave_out=True)
        assert sorted(each.position for each in found.left_out) == [0, 10, 20]
        assert len(found) == 18
        with pytest.raises(InputRefused):
            session.predict(queries)
        nothing = session.predict([broken, b"none"], leave_out=True)
        assert (len(nothing), len(nothing.left_out)) == (0, 2)


def test_more_than_a_session_can_have_is_refused_before_anything_is_sent(
    small_server: str, drawings: Drawings, opened: Opened
) -> None:
    support = {name: drawings[name][:8] for name in sorted(drawings)[:4]}
    with (
        between(small_server, {}) as proxy,
        opened(proxy.url) as inkling,
        pytest.raises(InvalidInput, match=r"at most 30 images .* got 32; .* 3 labels .* got 4"),
    ):
        inkling.adapt(support)
    assert set(proxy.seen) == {"GET /initializations"}
