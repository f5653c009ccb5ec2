from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from inkling import support_of
from inkling.errors import BadData

from .archives import archive, with_raw_names

PNG = b"\x89PNG, not decoded here"
MIB = 2**20


@pytest.mark.parametrize(
    ("written", "label"),
    [("café".encode(), "café"), ("кошка".encode(), "кошка"), (b"cat", "cat")],
)
def test_names_that_can_be_utf_8_are(tmp_path: Path, written: bytes, label: str) -> None:
    packed = with_raw_names(
        tmp_path / "mac.zip", [(written + b"/1.png", PNG), (b"other/1.png", PNG)]
    )
    assert support_of(packed) == {label: [PNG], "other": [PNG]}


@pytest.mark.parametrize("encoding", ["cp866", "latin-1", "cp932"])
def test_labels_of_unknown_letters_are_refused(tmp_path: Path, encoding: str) -> None:
    word = {"cp866": "кошка", "latin-1": "café", "cp932": "犬の絵"}[encoding]
    packed = with_raw_names(tmp_path / "cp.zip", [(word.encode(encoding) + b"/1.png", PNG)])
    with pytest.raises(BadData, match=r"names of folders in UTF-8, got b'.*7-Zip"):
        support_of(packed)


def test_images_may_have_names_of_unknown_letters(tmp_path: Path) -> None:
    packed = with_raw_names(tmp_path / "cp.zip", [(b"cat/\xaa\xae\xe8.png", PNG)])
    assert support_of(packed) == {"cat": [PNG]}


def test_back_slashes_divide_folders(tmp_path: Path) -> None:
    names = [b"mine\\a\\", b"mine\\a\\1.png", b"mine\\b\\1.png", b"mine\\b\\2.png"]
    packed = with_raw_names(tmp_path / "bs.zip", [(name, PNG) for name in names])
    assert support_of(packed) == {"a": [PNG], "b": [PNG, PNG]}


@pytest.mark.parametrize(
    "name",
    ["/etc/1.png", "../cat/1.png", "a/../../1.png", "cat\\..\\1.png", "\\\\host\\1.png", "C:\\1.p"],
)
def test_paths_out_of_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadData, match="expected paths inside the archive"):
        support_of(archive(tmp_path / "bad.zip", {name: PNG}))


@pytest.mark.parametrize("again", [b"cat/1.png", b"cat\\1.png", b"cat//1.png"])
def test_a_path_that_comes_twice_is_refused(tmp_path: Path, again: bytes) -> None:
    packed = with_raw_names(tmp_path / "twice.zip", [(b"cat/1.png", PNG), (again, PNG)])
    with pytest.raises(BadData, match=r"each path once, got 'cat/1\.png' twice"):
        support_of(packed)


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("cat/1.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as made:
        made.writestr(link, "/etc/passwd")
    with pytest.raises(BadData, match="got the link"):
        support_of(tmp_path / "bad.zip")


def changed(packed: Path, offset: int, value: bytes) -> Path:
    """The archive with bytes of its first member's entry in the directory overwritten."""
    content = bytearray(packed.read_bytes())
    place = content.index(b"PK\1\2") + offset
    content[place : place + len(value)] = value
    packed.write_bytes(content)
    return packed


@pytest.mark.parametrize(
    ("offset", "value", "told"),
    [
        (8, b"\1\0", "without a password"),
        (10, b"\x0e\0", "a method that is not read"),
        (16, b"\0\0\0\0", "the archive is damaged"),
        (24, (40 * MIB).to_bytes(4, "little"), r"more than 33,554,432 bytes"),
        (24, (600 * MIB).to_bytes(4, "little"), r"unpacks to 629,14"),
    ],
)
def test_members_that_are_not_sound_are_refused(
    tmp_path: Path, offset: int, value: bytes, told: str
) -> None:
    packed = archive(tmp_path / "bad.zip", {"cat/1.png": PNG, "dog/1.png": PNG})
    with pytest.raises(BadData, match=told):
        support_of(changed(packed, offset, value))


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "bomb.zip", {"cat/1.png": PNG + bytes(33 * MIB)})
    assert bomb.stat().st_size < 100_000
    with pytest.raises(BadData, match="more than"):
        support_of(bomb)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda content: content[:-30], "not copied to its end"),
        (lambda content: content[:60] + content[80:], "damaged"),
        (lambda _: b"", "a file: empty"),
        (lambda _: b"<!doctype html><title>", "a file: web page"),
        (lambda _: PNG, "which is an image"),
    ],
)
def test_what_is_no_whole_archive_is_told(
    tmp_path: Path, spoil: Callable[[bytes], bytes], told: str
) -> None:
    packed = archive(tmp_path / "mine.zip", {"cat/1.png": PNG, "dog/1.png": PNG})
    packed.write_bytes(spoil(packed.read_bytes()))
    with pytest.raises(BadData, match=told):
        support_of(packed)
