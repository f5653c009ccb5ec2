"""Files that are no image which is read: their sender is told what they are."""

from __future__ import annotations

import base64
import io
import zipfile

import pytest
from PIL import Image

from ..pictures import saved
from .files import refused


def boxes(*brands: bytes) -> bytes:
    content = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    return (4 + len(content)).to_bytes(4, "big") + content + bytes(100)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("lemon/01.jpg", b"an image")
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PIXEL = saved(Image.new("L", (8, 8)))
FILES = {
    "heic": (boxes(b"heic", b"mif1", b"heic"), "a HEIC image", "send it as JPEG"),
    "heic behind mif1": (boxes(b"mif1", b"mif1", b"heic"), "a HEIC image", "send it as JPEG"),
    "avif": (boxes(b"avif", b"mif1", b"miaf"), "an AVIF image", "send it as JPEG"),
    "video": (boxes(b"isom", b"iso2", b"mp41"), "a video", "a frame of it"),
    "tiff": (saved(Image.new("L", (20, 20)), "TIFF"), "a TIFF image", "send it as PNG or JPEG"),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image", "send it as JPEG"),
    "svg": (
        b'<?xml version="1.0"?>\n<!-- a -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        "an SVG drawing",
        "send it as PNG or JPEG",
    ),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document", "a picture of the page"),
    "web page": (b"\n<!DOCTYPE html>\n<html><body>404", "a web page", "send the image itself"),
    "json": (b'{"error": "not found"}', "JSON text", "send the image itself"),
    "zip": (zipped(), "a zip archive", "send the images in it"),
    "lfs": (LFS, "a Git LFS pointer", "git lfs pull"),
    "data url": (
        b"data:image/png;base64," + base64.b64encode(PIXEL),
        "a data URL",
        "JSON, which takes data URLs",
    ),
    "base64": (base64.b64encode(PIXEL), "an image in base64", "JSON, which takes base64"),
    "beside a file on macOS": (b"\0\5\x16\7\0\2\0\0Mac OS X", "its name begins with ._", "itself"),
    "zeros": (bytes(1000), "1,000 bytes that are all 0", ""),
    "text": (b"BMW, a car", "10 bytes of text", ""),
    "anything": (b"\xee\xdd\xcc" * 30, "90 bytes that start with ee dd cc ee", ""),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_image_is_named_with_what_to_send(name: str) -> None:
    content, what, advice = FILES[name]
    found = refused(content)
    assert found.code == "not_an_image"
    assert f"expected PNG, JPEG, WEBP, GIF or BMP, got {what}" in str(found) or what in str(found)
    assert advice in str(found)


def test_text_that_is_made_to_be_slow_to_recognise_is_not() -> None:
    assert "bytes of text" in str(refused(b"<!--" + b"--><!--" * 10_000 + b"-->"))
