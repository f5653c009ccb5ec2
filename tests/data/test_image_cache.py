"""Images in files: found again, never wrong, and worked with as those in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from inkling.data.image_cache import KEPT_SECONDS, ImageCache
from inkling.data.stored_images import find_images
from inkling.errors import BadData


def digests_of(*sources: bytes) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(source).digest() for source in sources)


SOURCES = digests_of(b"first", b"second", b"third")


def an_image(source: bytes) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(source))
    return torch.randint(0, 256, (3, 5, 4), dtype=torch.uint8, generator=generator)


class Maker:
    """Makes images of sources, and counts them."""

    made = 0

    def of(self, sources: tuple[bytes, ...], most: int = 100) -> Iterator[torch.Tensor]:
        for source in sources[:most]:
            self.made += 1
            yield an_image(source)
        if most < len(sources):
            raise BadData("interrupted")


@pytest.fixture
def maker() -> Maker:
    return Maker()


def test_images_are_made_once(tmp_path: Path, maker: Maker) -> None:
    for _ in range(2):
        found = ImageCache(tmp_path, "so").images(SOURCES, maker.of(SOURCES))
        assert torch.equal(found[:], torch.stack(list(map(an_image, SOURCES))))
    assert maker.made == len(SOURCES)


def test_other_sources_another_order_or_another_way_are_other_images(
    tmp_path: Path, maker: Maker
) -> None:
    changed = digests_of(b"first", b"second", b"changed")
    divided = digests_of(b"firs", b"tsecond", b"third")
    for sources in (SOURCES, changed, SOURCES[::-1], SOURCES[:2], divided):
        found = ImageCache(tmp_path, "so").images(sources, maker.of(sources))
        assert torch.equal(found[-1], an_image(sources[-1]))
    ImageCache(tmp_path, "otherwise").images(SOURCES, maker.of(SOURCES))
    assert maker.made == 5 * 3 - 1 + 3


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "longer", "header alone"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, maker: Maker, damage: str) -> None:
    path = ImageCache(tmp_path, "so").images(SOURCES, maker.of(SOURCES)).path
    whole = path.read_bytes()
    damaged = {
        "flipped": whole[:7] + bytes([whole[7] ^ 1]) + whole[8:],
        "cut": whole[:-30],
        "empty": b"",
        "longer": whole + b"0",
        "header alone": whole[-20:],
    }
    path.write_bytes(damaged[damage])
    assert find_images(path) is None
    found = ImageCache(tmp_path, "so").images(SOURCES, maker.of(SOURCES))
    assert path.read_bytes() == whole
    assert torch.equal(found[1], an_image(SOURCES[1]))
    assert maker.made == 2 * len(SOURCES)


def test_an_interrupted_build_leaves_nothing(tmp_path: Path, maker: Maker) -> None:
    cache = ImageCache(tmp_path, "so")
    with pytest.raises(BadData, match="interrupted"):
        cache.images(SOURCES, maker.of(SOURCES, most=2))
    assert list(tmp_path.iterdir()) == []
    assert len(cache.images(SOURCES, maker.of(SOURCES))) == len(SOURCES)


def test_what_a_killed_process_left_is_not_taken_for_images(tmp_path: Path, maker: Maker) -> None:
    cache = ImageCache(tmp_path, "so")
    path = cache.images(SOURCES, maker.of(SOURCES)).path
    path.rename(tmp_path / f"{path.stem}.abcd_123.unfinished")
    cache.images(SOURCES, maker.of(SOURCES))
    assert maker.made == 2 * len(SOURCES)


def test_unused_files_go_and_those_of_others_stay(tmp_path: Path, maker: Maker) -> None:
    cache = ImageCache(tmp_path, "so")
    used, unused = (cache.images(s, maker.of(s)).path for s in (SOURCES, SOURCES[:2]))
    unfinished = tmp_path / f"{used.stem}.abcd_123.unfinished"
    other = tmp_path / "notes.images"
    for path in (used, unused, unfinished, other):
        path.touch()
        os.utime(path, (0, path.stat().st_mtime - KEPT_SECONDS - 10))
    cache.images(SOURCES, maker.of(SOURCES))
    ImageCache(tmp_path, "so")
    assert set(tmp_path.iterdir()) == {used, other}


def test_changes_are_made_when_images_are_asked_for(tmp_path: Path, maker: Maker) -> None:
    stored = ImageCache(tmp_path, "so").images(SOURCES, maker.of(SOURCES))
    changed = stored.changed(lambda images: images.to(torch.float32)).changed(lambda x: x.flip(-1))
    expected = torch.stack(list(map(an_image, SOURCES))).to(torch.float32).flip(-1)
    assert torch.equal(changed[:], expected)
    assert torch.equal(changed[[2, 0]], expected[[2, 0]])
    assert torch.equal(changed[1], expected[1])
    assert torch.equal(changed[-1:], expected[-1:])
    assert stored[0].dtype == torch.uint8


def test_a_file_that_goes_while_it_is_used_is_told(tmp_path: Path, maker: Maker) -> None:
    stored = ImageCache(tmp_path, "so").images(SOURCES, maker.of(SOURCES))
    stored.path.unlink()
    with pytest.raises(BadData, match="lost while used"):
        stored[[0]]


def test_a_place_where_no_folder_can_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadData, match="expected a folder for images"):
        ImageCache(tmp_path / "file" / "folder", "so")
