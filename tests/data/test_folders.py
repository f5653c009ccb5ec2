from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from inkling import FilesLeftOut
from inkling.data import folders
from inkling.data.sources import SPLITS, EncodedClass, Split
from inkling.errors import BadData

PNG = b"\x89PNG, not decoded here"
TIFF = b"II*\0\x08\0\0\0"


def write(root: Path, *names: str, content: bytes = PNG) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def two_classes(split: str) -> list[str]:
    """Two classes of a split, by names of its own."""
    return [f"{split}/{label}-{split.lower()}/1.png" for label in ("a", "b")]


def names(path: Path, split: Split) -> list[str]:
    return [entry.name for entry in folders.read(path, split)]


def write_classes(root: Path, encoded: tuple[EncodedClass, ...]) -> None:
    for entry in encoded:
        (root / entry.name).mkdir(parents=True)
        for name, content in entry.files[:3]:
            (root / entry.name / name).write_bytes(content)


def test_classes_are_dealt_out_to_splits_once_each(
    tmp_path: Path, encoded: tuple[EncodedClass, ...]
) -> None:
    write_classes(tmp_path, encoded)
    splits = {split: list(folders.read(tmp_path, split)) for split in SPLITS}
    assert {split: len(found) for split, found in splits.items()} == {
        "train": 13,
        "validation": 3,
        "test": 4,
    }
    found = [entry.name for each in splits.values() for entry in each]
    assert sorted(found) == [entry.name for entry in encoded]
    assert splits["train"] == list(folders.read(tmp_path, "train"))
    assert all(len(entry.files) == 3 for each in splits.values() for entry in each)
    assert not folders.names_splits(tmp_path)


@pytest.mark.parametrize("validation", ["validation", "val", "valid", "Validation", "VAL"])
@pytest.mark.parametrize("around", ["", "photos/"])
def test_folders_named_after_splits_are_the_splits(
    tmp_path: Path, validation: str, around: str
) -> None:
    for split in ("train", validation, "test"):
        write(tmp_path, *(around + name for name in two_classes(split)))
    assert names(tmp_path, "validation") == [f"{x}-{validation.lower()}" for x in "ab"]
    assert names(tmp_path, "train") == ["a-train", "b-train"]
    assert folders.names_splits(tmp_path)


def test_a_split_that_is_missing_is_told_when_it_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, *two_classes("train"), *two_classes("valid"))
    assert names(tmp_path, "train") == ["a-train", "b-train"]
    assert names(tmp_path, "validation") == ["a-valid", "b-valid"]
    with pytest.raises(BadData, match=r"one for test \(test or testing\), got train, valid"):
        names(tmp_path, "test")
    write(tmp_path, *two_classes("val"))
    with pytest.raises(BadData, match=r"with one for validation .* got train, val, valid"):
        names(tmp_path, "validation")


def test_a_folder_beside_the_splits_is_told(tmp_path: Path) -> None:
    for split in SPLITS:
        write(tmp_path, *two_classes(split))
    write(tmp_path, *two_classes("spare"))
    with pytest.warns(FilesLeftOut, match=r"folder beside those of splits \(1: 'spare'\)"):
        assert names(tmp_path, "test") == ["a-test", "b-test"]


def test_classes_may_be_called_as_splits_are(tmp_path: Path) -> None:
    labels = ("bus", "car", "plane", "train", "test")
    write(tmp_path, *(f"{label}/1.png" for label in labels))
    assert not folders.names_splits(tmp_path)
    assert {entry.name for entry in folders.read_all(tmp_path)} == set(labels)


def test_a_data_set_may_be_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as made:
        for name in two_classes("train") + two_classes("val"):
            made.writestr(f"mine/{name}", PNG)
            made.writestr(f"__MACOSX/mine/{name}", b"x")
    assert names(tmp_path / "mine.zip", "validation") == ["a-val", "b-val"]
    assert folders.names_splits(tmp_path / "mine.zip")


def test_what_systems_leave_in_folders_is_no_class(tmp_path: Path) -> None:
    write(tmp_path, "a/1.png", "b/1.png", "a/@eaDir/1.png/SYNOPHOTO_THUMB_M.png")
    write(tmp_path, "__MACOSX/a/._1.png", "@eaDir/a/SYNOINDEX", "a/Thumbs.db", content=b"x")
    found = list(folders.read_all(tmp_path))
    assert [(entry.name, len(entry.files)) for entry in found] == [("a", 1), ("b", 1)]


def test_classes_do_not_vanish(tmp_path: Path) -> None:
    write(tmp_path, "a/1.png", "b/1.png", "c/1.png")
    write(tmp_path, "a/2.tif", "d/1.tif", content=TIFF)
    with pytest.raises(BadData, match=r"got none in 'd': TIFF \(1: 'd/1\.tif'; save as PNG\)"):
        list(folders.read_all(tmp_path))
    (tmp_path / "d" / "2").write_bytes(PNG)
    with pytest.warns(FilesLeftOut, match=r"left out 2: TIFF \(2"):
        assert len(list(folders.read_all(tmp_path, 20))) == 4


def test_too_few_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="at least 2 classes"):
        list(folders.read(tmp_path, "train"))
