from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from inkling import FilesLeftOut
from inkling.data import domains, omniglot
from inkling.data.sources import SPLITS
from inkling.errors import BadData

DRAWING = b"\x89PNG, not decoded here"


def background_archive(path: Path, n_characters: int = 964, n_drawings: int = 20) -> Path:
    """An archive laid out as the official one: 30 alphabets, and what zip tools leave behind."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/images_background/._x.png", b"")
        for number in range(n_characters):
            folder = f"images_background/Alphabet_{number % 30:02}/character{number // 30 + 1:02}"
            for drawing in range(1, n_drawings + 1):
                archive.writestr(f"{folder}/{number:04}_{drawing:02}.png", DRAWING)
    return path


def test_omniglot_is_read_alike_from_its_archive_and_from_unpacked_folders(
    tmp_path: Path,
) -> None:
    archive = background_archive(tmp_path / "omniglot_images_background.zip")
    characters = list(omniglot.read(tmp_path, "background"))
    assert len(characters) == 964
    assert characters[0].name == "Alphabet_00/character01"
    assert characters[0].group == "Alphabet_00"
    assert {len(character.files) for character in characters} == {20}
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path)
    archive.unlink()
    assert list(omniglot.read(tmp_path, "background")) == characters


@pytest.mark.parametrize(("characters", "drawings"), [(963, 20), (964, 19)])
def test_an_incomplete_omniglot_is_refused(tmp_path: Path, characters: int, drawings: int) -> None:
    background_archive(tmp_path / "images_background.zip", characters, drawings)
    with pytest.raises(BadData, match=r"expected (964|20)"):
        list(omniglot.read(tmp_path, "background"))


def write_omniglot_named_as_the_lists_do(path: Path) -> None:
    """Both parts with as many characters as the real one; listed names come first."""
    listed = [
        line
        for split in ("validation", "test")
        for line in (omniglot.VINYALS / f"{split}.txt").read_text().splitlines()
    ]
    names = [*listed, *(f"Other/character{number:04}" for number in range(1623 - len(listed)))]
    for part, chosen in (("background", names[:964]), ("evaluation", names[964:])):
        with zipfile.ZipFile(path / f"images_{part}.zip", "w") as archive:
            for name in chosen:
                for drawing in range(20):
                    archive.writestr(f"images_{part}/{name}/{drawing:02}.png", DRAWING)


def test_vinyals_division_takes_every_character_once(tmp_path: Path) -> None:
    write_omniglot_named_as_the_lists_do(tmp_path)
    names = {
        split: {entry.name for entry in omniglot.read_vinyals(tmp_path, split)} for split in SPLITS
    }
    assert {split: len(found) for split, found in names.items()} == {
        "train": 1028,
        "validation": 172,
        "test": 423,
    }
    assert len(set().union(*names.values())) == 1623
    assert "Gurmukhi/character42" in names["test"]


def test_a_folder_without_omniglot_is_told_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"images_evaluation\.zip"):
        list(omniglot.read(tmp_path, "evaluation"))


def write_domains(root: Path, archive: Path | None = None) -> None:
    """Two domains of two classes of two images, as folders or as an archive."""
    names = [
        f"{domain}/{label}/{number}.jpg"
        for domain in ("cells", "leaves")
        for label in ("a", "b")
        for number in (1, 2)
    ]
    if archive is not None:
        with zipfile.ZipFile(archive, "w") as opened:
            for name in names:
                opened.writestr(name, DRAWING)
        return
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(DRAWING)


def test_domains_are_the_groups_of_their_classes_in_folders_and_archives(tmp_path: Path) -> None:
    write_domains(tmp_path / "train")
    write_domains(tmp_path, tmp_path / "photos_validation.zip")
    found = list(domains.read(tmp_path, "train"))
    assert [(each.name, each.group) for each in found] == [
        ("cells/a", "cells"),
        ("cells/b", "cells"),
        ("leaves/a", "leaves"),
        ("leaves/b", "leaves"),
    ]
    assert [name for name, _ in found[0].files] == ["1.jpg", "2.jpg"]
    assert list(domains.read(tmp_path, "validation")) == found
    with pytest.raises(BadData, match=r"expected a folder test or an archive test\.zip"):
        list(domains.read(tmp_path, "test"))


def test_a_folder_around_all_domains_of_an_archive_is_no_domain(tmp_path: Path) -> None:
    write_domains(tmp_path / "train" / "photos")
    assert next(domains.read(tmp_path, "train")).name == "cells/a"


def test_an_image_outside_of_a_class_of_a_domain_is_named(tmp_path: Path) -> None:
    write_domains(tmp_path / "train")
    (tmp_path / "train" / "leaves" / "stray.jpg").write_bytes(DRAWING)
    with pytest.raises(BadData, match=r"<domain>/<class>/<image>, got leaves/stray\.jpg"):
        list(domains.read(tmp_path, "train"))


def test_what_is_left_out_of_domains_is_told(tmp_path: Path) -> None:
    write_domains(tmp_path / "Val")
    (tmp_path / "Val" / "leaves" / "a" / "3.tif").write_bytes(b"II*\0")
    (tmp_path / "Val" / "leaves" / "@eaDir").mkdir()
    with pytest.warns(FilesLeftOut, match=r"left out 1: TIFF \(1: 'leaves/a/3\.tif'"):
        assert len(list(domains.read(tmp_path, "validation"))) == 4
    (tmp_path / "Val" / "leaves" / "c").mkdir()
    with pytest.raises(BadData, match="got none in 'leaves/c'"):
        list(domains.read(tmp_path, "validation"))
