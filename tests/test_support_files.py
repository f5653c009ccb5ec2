from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from inkling import support_of
from inkling.errors import BadData


@pytest.fixture
def folder(tmp_path: Path, drawings: dict[str, list[bytes]]) -> Path:
    root = tmp_path / "mine"
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for number, content in enumerate(drawings["Keble_01"][:2]):
            (root / label / f"{number}.PNG").write_bytes(content + label.encode())
    (root / "cat" / ".hidden.png").write_bytes(b"x")
    (root / "cat" / "notes.txt").write_text("no image")
    return root


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def test_a_folder_and_its_archive_are_the_same_support_set(folder: Path, tmp_path: Path) -> None:
    files = {
        f"mine/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    packed = archive(tmp_path / "mine.zip", files | {"__MACOSX/mine/cat/0.png": b"x"})
    found = support_of(folder)
    assert found == support_of(packed)
    assert {label: len(images) for label, images in found.items()} == {"cat": 2, "dog": 2}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/etc/cat/1.png", "expected paths inside"),
        ("../cat/1.png", "expected paths inside"),
        ("a/../../cat/1.png", "expected paths inside"),
        ("cat\\..\\1.png", "expected paths inside"),
        ("1.png", "a folder for each class"),
        ("cat/readme.txt", "expected images, got none"),
        ("cat/more.zip", "expected no archive in it"),
    ],
)
def test_archives_that_are_no_support_set_are_refused(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(BadData, match=told):
        support_of(archive(tmp_path / "bad.zip", {name: b"x"}))


def test_links_are_not_followed(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("cat/1.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as made:
        made.writestr(link, "/etc/passwd")
    with pytest.raises(BadData, match="got the link"):
        support_of(tmp_path / "bad.zip")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "bomb.zip", {"cat/1.png": bytes(33 * 2**20)})
    assert bomb.stat().st_size < 100_000
    with pytest.raises(BadData, match="more than"):
        support_of(bomb)


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="a folder or a zip archive"):
        support_of(tmp_path / "nothing")


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    packed = archive(tmp_path / "damaged.zip", {"cat/1.png": b"x" * 5000, "dog/1.png": b"y"})
    content = bytearray(packed.read_bytes())
    content[40] ^= 0xFF
    packed.write_bytes(content)
    with pytest.raises(BadData, match="cannot be read"):
        support_of(packed)


def test_folders_without_images_and_of_one_name_are_refused(folder: Path) -> None:
    (folder / "bird").mkdir()
    with pytest.raises(BadData, match="got none in bird"):
        support_of(folder)
    (folder / "bird" / "cat").mkdir()
    (folder / "bird" / "cat" / "1.png").write_bytes(b"x")
    with pytest.raises(BadData, match="folders of different names"):
        support_of(folder)
