from __future__ import annotations

import io
import tempfile
from array import array
from pathlib import Path

import numpy as np
import pytest
from inkling import Client
from inkling import Image as Given
from inkling.errors import BadData, InvalidInput
from inkling.given_images import file_bytes, images_of
from PIL import Image

from .pictures import opened, saved

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)
RGB = np.stack([GREY, GREY + 64, GREY + 128], axis=2)
RGBA = np.concatenate([RGB, GREY[:, :, None]], axis=2)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "1.png"
    path.write_bytes(saved(Image.fromarray(RGB)))
    return path


def test_files_and_their_bytes_are_sent_as_they_are(png: Path) -> None:
    content = png.read_bytes()
    held: list[Given] = [
        png,
        str(png),
        content,
        bytearray(content),
        memoryview(content),
        io.BytesIO(content),
    ]
    assert {file_bytes(image) for image in images_of(held)} == {content}
    with png.open("rb") as buffered, png.open("rb", buffering=0) as raw:
        assert [file_bytes(buffered), file_bytes(raw)] == [content, content]
    with tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(content)
        spooled.seek(0)
        assert file_bytes(spooled) == content


@pytest.mark.parametrize("pixels", [GREY, RGB, RGBA, RGB[::-1, ::2], np.asfortranarray(RGB)])
def test_pixels_are_sent_without_loss(pixels: np.ndarray) -> None:
    for held in (pixels, Image.fromarray(np.ascontiguousarray(pixels))):
        sent = Image.open(io.BytesIO(file_bytes(held)))
        assert sent.format == "PNG"
        assert np.array_equal(np.asarray(sent), pixels)


def test_a_photograph_that_is_open_is_turned_as_its_file_would_be() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph = Image.open(io.BytesIO(saved(Image.new("RGB", (8, 4)), "JPEG", exif=exif)))
    assert Image.open(io.BytesIO(file_bytes(photograph))).size == (4, 8)


def test_one_image_is_a_list_of_one(png: Path) -> None:
    with png.open("rb") as file:
        for one in (png, str(png), b"x", bytearray(b"x"), file, GREY, Image.fromarray(GREY)):
            images = images_of(one)
            assert len(images) == 1
            assert images[0] is one
    assert len(images_of(image for image in (GREY, RGB))) == 2


@pytest.mark.parametrize(
    ("given", "came"),
    [
        (None, "got NoneType"),
        (7, "got int"),
        ([None], "got NoneType"),
        ({"a": b"x"}, "got dict"),
        (array("B", b"x"), "got int"),
        (io.StringIO("x"), r"open in text mode: open it with open\(path, 'rb'\)"),
        (GREY.astype(np.float32), r"an array of float32 and of \(8, 8\)"),
        (RGB[None], r"an array of uint8 and of \(1, 8, 8, 3\)"),
        (GREY[:0], r"of \(0, 8\)"),
        (Image.new("CMYK", (8, 8)), r"mode CMYK: give image\.convert\('RGB'\)"),
    ],
)
def test_what_is_no_image_is_told_what_one_is(given: object, came: str) -> None:
    with pytest.raises(TypeError, match=rf"^expected a path, bytes, .* PIL image.*; .*{came}"):
        [file_bytes(image) for image in images_of(given)]  # type: ignore[arg-type]


def test_folders_and_files_that_were_read_are_refused(tmp_path: Path, png: Path) -> None:
    with pytest.raises(BadData, match=r"got the folder .* give the paths of its images"):
        file_bytes(tmp_path)
    with png.open("rb") as file:
        file.read()
        with pytest.raises(BadData, match=r"got no bytes of '.*1\.png': it is empty, or was read"):
            file_bytes(file)


def test_a_session_is_made_from_images_as_callers_hold_them(
    server: str, drawings: dict[str, list[bytes]], tmp_path: Path
) -> None:
    a, b = drawings["Keble_01"], drawings["Tibetan_01"]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1").write_bytes(b[0])
    path = tmp_path / "a.jfif"
    path.write_bytes(a[0])
    with Client(server) as inkling, path.open("rb") as file:
        held: list[Given] = [
            file,
            io.BytesIO(a[1]),
            opened(a[2]),
            np.asarray(opened(a[3])),
            bytearray(a[4]),
        ]
        made = inkling.adapt({"a": held, "b": tmp_path / "b"})
        assert made.labels == ("a", "b")
        assert [entry["images"] for entry in made.answer["classes"]] == [5, 1]
        grown = inkling.add_support(made.session_id, {"b": io.BytesIO(b[1])})
        assert [entry["images"] for entry in grown.answer["classes"]] == [5, 2]
        for one in (io.BytesIO(b[2]), opened(b[2]), b[2]):
            assert [each.label for each in inkling.predict(made.session_id, one)] == ["b"]
        with pytest.raises(InvalidInput, match="'c': expected images, got none"):
            inkling.adapt({"a": a[0], "c": []})
        with pytest.raises(TypeError, match=r"expected images by label, .* got list"):
            inkling.adapt([b"x"])  # type: ignore[arg-type]
        inkling.forget(made.session_id)
