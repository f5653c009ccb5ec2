"""What a file is, by how its bytes begin; never by its name."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 512
"""As many bytes tell what a file is."""
BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
"""Lengths of the header that follows the two letters of a BMP."""


@dataclass(frozen=True)
class Kind:
    """A kind of file that is not taken for an image, and what its owner can do."""

    name: str
    advice: str = ""


AS_JPEG, AS_PNG = "save as JPEG", "save as PNG"
EMPTY = Kind("empty")
TEXT = Kind("text")
UNKNOWN = Kind("not an image")
VIDEO = Kind("video", "save pictures of it")
WEB_PAGE = Kind("web page", "save the image itself")
SVG = Kind("SVG", AS_PNG)
HEIC, AVIF, RAW = Kind("HEIC", AS_JPEG), Kind("AVIF", AS_JPEG), Kind("raw photograph", AS_JPEG)
TIFF = Kind("TIFF", AS_PNG)
JPEG_XL, JPEG_2000 = Kind("JPEG XL", AS_JPEG), Kind("JPEG 2000", AS_JPEG)
ARCHIVE = Kind("archive", "unpack it")

_BY_BEGINNING = (
    (TIFF, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (JPEG_XL, (b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    (JPEG_2000, (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")),
    (Kind("icon", AS_PNG), (b"\0\0\1\0",)),
    (Kind("Photoshop document", AS_PNG), (b"8BPS",)),
    (Kind("PDF", "save its pages as PNG"), (b"%PDF-",)),
    (Kind("Netpbm", AS_PNG), tuple(b"P%d%c" % (n, end) for n in range(1, 8) for end in b"\n ")),
    (ARCHIVE, (b"PK\3\4", b"PK\5\6", b"Rar!", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"BZh")),
    (Kind("Git LFS pointer", "run git lfs pull"), (b"version https://git-lfs",)),
    (VIDEO, (b"\x1aE\xdf\xa3",)),
)
_BY_BRAND = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), HEIC),
    **dict.fromkeys((b"avif", b"avis"), AVIF),
    b"crx ": RAW,
}


def is_image(head: bytes) -> bool:
    """Tell whether a file that begins so is PNG, JPEG, WEBP, GIF or BMP, damaged or not."""
    return (
        head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"))
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in BMP_HEADERS)
    )


def kind_of(head: bytes) -> Kind:
    """What a file that begins so is, where it is not an image."""
    if not head:
        return EMPTY
    for kind, beginnings in _BY_BEGINNING:
        if head.startswith(beginnings):
            return kind
    if head[4:8] == b"ftyp":
        return _BY_BRAND.get(head[8:12], VIDEO)
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return VIDEO
    return _kind_of_text(head) if _is_text(head) else UNKNOWN


def _is_text(head: bytes) -> bool:
    # The last character may be cut in two.
    shown = head.decode("utf-8", "ignore")
    whole = len(shown.encode()) >= len(head) - 3
    return whole and all(letter >= " " or letter in "\t\r\n\f" for letter in shown)


def _kind_of_text(head: bytes) -> Kind:
    shown = head.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n").lower()
    if shown.startswith("<svg") or (shown.startswith(("<?xml", "<!")) and "<svg" in shown):
        return SVG
    return WEB_PAGE if shown.startswith(("<!doctype html", "<html")) else TEXT
