from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
from inkling import FilesLeftOut, support_of
from inkling.errors import BadData

from .files.archives import archive
from .pictures import opened, saved

PNG, JPEG = b"\x89PNG, not decoded here", b"\xff\xd8\xff\xe0, not decoded here"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
TIFF = b"II*\0\x08\0\0\0"


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def both(root: Path, files: dict[str, bytes]) -> list[Path]:
    """The files as a folder and as an archive of it."""
    return [write(root / "mine", files), archive(root / "mine.zip", files)]


def test_content_tells_what_is_an_image_and_no_suffix(
    tmp_path: Path, drawings: dict[str, list[bytes]]
) -> None:
    image = opened(drawings["Keble_01"][0])
    kinds = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
    names = ("1", "2.jfif", "3.jpe", "4.tif", "5.photo of mine")
    contents = [saved(image, kind) for kind in kinds]
    files = {f"a/{name}": content for name, content in zip(names, contents, strict=True)}
    for path in both(tmp_path, files):
        assert support_of(path) == {"a": contents}


def test_all_that_is_left_out_is_counted_and_told(tmp_path: Path) -> None:
    files = {
        "a/1.png": PNG,
        "a/2.jpg": HEIC,
        "a/3.tif": TIFF,
        "a/4.jpg": b"",
        "a/5.jpg": b"version https://git-lfs.github.com/spec/v1\n",
        "a/notes.txt": b"no image",
        "a/more/6.png": PNG,
        "a/.7.png": PNG,
        "a/.cache/8.png": PNG,
        "b/1.png": PNG,
        "stray.png": PNG,
    }
    for path in both(tmp_path, files):
        with pytest.warns(FilesLeftOut) as warned:
            assert support_of(path) == {"a": [PNG], "b": [PNG]}
        (told,) = [str(each.message) for each in warned]
        assert told.startswith(f"{path}: left out 9: ")
        for part in (
            "HEIC (1: 'a/2.jpg'; save as JPEG)",
            "TIFF (1: 'a/3.tif'; save as PNG)",
            "empty (1: 'a/4.jpg')",
            "Git LFS pointer (1: 'a/5.jpg'; run git lfs pull)",
            "text (1: 'a/notes.txt')",
            "image in a folder inside a class folder (1: 'a/more/6.png'; move",
            "hidden (2: ",
            "image outside of class folders (1: 'stray.png')",
        ):
            assert part in told
        assert "b/" not in told


def test_many_of_a_kind_are_counted_and_three_named(tmp_path: Path) -> None:
    files = {f"a/{number}.heic": HEIC for number in range(1200)} | {"a/1.png": PNG}
    with pytest.warns(FilesLeftOut, match=r"left out 1,200: HEIC \(1,200: ('[^']+', ){3}\.\.\.; "):
        support_of(archive(tmp_path / "mine.zip", files))


def test_what_systems_leave_in_folders_is_nobodys_data(tmp_path: Path) -> None:
    files = {
        "a/1.png": PNG,
        "b/1.png": JPEG,
        "b/Thumbs.db": PNG,
        "b/desktop.ini": b"[x]",
        "b/._1.png": PNG,
        ".DS_Store": b"x",
        "__MACOSX/a/._1.png": PNG,
        "@eaDir/a.png": PNG,
        "a/@eaDir/1.png/SYNOPHOTO_THUMB_M.png": PNG,
    }
    for path in both(tmp_path, files):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert support_of(path) == {"a": [PNG], "b": [JPEG]}


def test_folders_around_the_class_folders_are_no_labels(tmp_path: Path) -> None:
    files = {"photos/mine/a/1.png": PNG, "photos/mine/b/1.png": PNG, "__MACOSX/x": b""}
    for path in both(tmp_path, files):
        assert set(support_of(path)) == {"a", "b"}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"1.png": PNG}, "a folder for each class"),
        ({"cat/readme.txt": b"x"}, r"got none in 'cat': text \(1: 'cat/readme\.txt'\)"),
        ({"cat/more.zip": b"PK\3\4"}, "archive .* unpack it"),
        ({"cat/1.heic": HEIC, "dog/1.png": PNG}, "got none in 'cat': HEIC .* save as JPEG"),
        ({"cat/x/1.png": PNG, "dog/1.png": PNG}, "got none in 'cat': image in a folder inside"),
        ({"caf\u00e9/1.png": PNG, "cafe\u0301/1.png": PNG}, "which are one label"),
    ],
)
def test_what_is_no_support_set_is_refused(
    tmp_path: Path, files: dict[str, bytes], told: str
) -> None:
    for path in both(tmp_path, files):
        with pytest.raises(BadData, match=told):
            support_of(path)


def test_a_folder_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    with pytest.raises(BadData, match=r"names of folders in UTF-8, got b'caf\\xe9'"):
        support_of(tmp_path)


def test_links_are_followed_on_disk_but_not_in_circles(tmp_path: Path) -> None:
    root = write(tmp_path / "mine", {"a/1.png": PNG})
    (root / "b").symlink_to(write(tmp_path / "elsewhere", {"2.png": PNG}))
    (root / "a" / "around").symlink_to(root)
    (root / "a" / "gone.png").symlink_to(tmp_path / "gone")
    with pytest.warns(FilesLeftOut, match=r"link to a folder around it \(1.*leads nowhere \(1"):
        assert support_of(root) == {"a": [PNG], "b": [PNG]}


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"a folder or a zip archive, got .* which is not there"):
        support_of(tmp_path / "nothing")
