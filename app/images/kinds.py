"""What a file is that is no image which is read, so that its sender learns what to do about it."""

from __future__ import annotations

import re

TEXT_LOOKED_AT = 1024
"""Bytes at the beginning of a file by which kinds of text are told."""

AS_JPEG = "send it as JPEG"
AS_PNG = "send it as PNG or JPEG"
OF_A_PAGE = "send a picture of the page as PNG or JPEG"
A_FRAME = "send a frame of it as JPEG"
UNPACKED = "send the images in it, each by itself"
THE_FILE = "send the image itself"

NOT_ASCII = bytes(range(128, 256))
COMMENTS = rb"(?><!--.*?-->\s*)*+"
BRANDS = {
    b"avif": ("an AVIF image", AS_JPEG),
    b"avis": ("an AVIF image", AS_JPEG),
    b"hei": ("a HEIC image, as iPhones take them", AS_JPEG),
    b"hev": ("a HEIC image, as iPhones take them", AS_JPEG),
    b"mif1": ("a HEIF image", AS_JPEG),
    b"msf1": ("a HEIF image", AS_JPEG),
    b"crx ": ("a camera's raw file", AS_JPEG),
    b"M4A": ("a sound", THE_FILE),
}
"""By how the brand begins of a file whose fifth to eighth byte are `ftyp`; others are videos."""

BEGINNINGS = (
    (b"II*\0", "a TIFF image or a camera's raw file", AS_PNG),
    (b"MM\0*", "a TIFF image or a camera's raw file", AS_PNG),
    (b"II+\0", "a TIFF image", AS_PNG),
    (b"MM\0+", "a TIFF image", AS_PNG),
    (b"IIU\0", "a camera's raw file", AS_JPEG),
    (b"IIRO", "a camera's raw file", AS_JPEG),
    (b"FUJIFILMCCD-RAW", "a camera's raw file", AS_JPEG),
    (b"\xff\x0a", "a JPEG XL image", AS_JPEG),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image", AS_JPEG),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image", AS_JPEG),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image", AS_JPEG),
    (b"8BPS", "a Photoshop document", AS_PNG),
    (b"gimp xcf", "a GIMP document", AS_PNG),
    (b"\0\0\1\0", "an icon (ICO)", AS_PNG),
    (b"\0\0\2\0", "a cursor (CUR)", AS_PNG),
    (b"icns", "an icon (ICNS)", AS_PNG),
    (b"\x8aMNG", "an MNG animation", AS_PNG),
    (b"\x76\x2f\x31\x01", "an OpenEXR image", AS_PNG),
    (b"#?RADIANCE", "a Radiance image", AS_PNG),
    (b"DDS ", "a DirectDraw surface", AS_PNG),
    (b"qoif", "a QOI image", AS_PNG),
    (b"FLIF", "a FLIF image", AS_PNG),
    (b"SIMPLE  =", "a FITS image", AS_PNG),
    (b"%PDF-", "a PDF document", OF_A_PAGE),
    (b"%!PS", "a PostScript document", OF_A_PAGE),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document", OF_A_PAGE),
    (b"AT&TFORM", "a DjVu document", OF_A_PAGE),
    (b"\xd0\xcf\x11\xe0", "an Office document, or thumbnails of Windows", OF_A_PAGE),
    (b"PK\3\4", "a zip archive or an Office document", UNPACKED),
    (b"PK\5\6", "an empty zip archive", UNPACKED),
    (b"\x1f\x8b", "something packed by gzip", UNPACKED),
    (b"BZh", "something packed by bzip2", UNPACKED),
    (b"\xfd7zXZ\0", "something packed by xz", UNPACKED),
    (b"\x28\xb5\x2f\xfd", "something packed by zstd", UNPACKED),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACKED),
    (b"Rar!", "a RAR archive", UNPACKED),
    (b"\x1aE\xdf\xa3", "a video (WebM or Matroska)", A_FRAME),
    (b"\0\0\1\xba", "a video (MPEG)", A_FRAME),
    (b"\0\0\1\xb3", "a video (MPEG)", A_FRAME),
    (b"FLV\1", "a video (FLV)", A_FRAME),
    (b"OggS", "a video or sound (Ogg)", A_FRAME),
    (b"ID3", "a sound (MP3)", THE_FILE),
    (b"fLaC", "a sound (FLAC)", THE_FILE),
    (b"\x93NUMPY", "an array of NumPy", "save it as PNG"),
    (b"\x89HDF", "an HDF5 file", UNPACKED),
    (b"PAR1", "a Parquet file", UNPACKED),
    (b"SQLite format 3", "an SQLite database", UNPACKED),
    (b"\0\5\x16\7", "what macOS keeps beside a file (its name begins with ._)", THE_FILE),
    (b"\0\0\0\1Bud1", "what macOS keeps of a folder (.DS_Store)", THE_FILE),
    (b"\x7fELF", "a program", THE_FILE),
    (b"MZ\x90\0", "a program", THE_FILE),
    (b"wOF", "a font", THE_FILE),
)
ELSEWHERE = (
    (128, b"DICM", "a DICOM image", AS_PNG),
    (257, b"ustar", "a tar archive", UNPACKED),
    (4, b"moov", "a video (QuickTime)", A_FRAME),
    (4, b"mdat", "a video (QuickTime)", A_FRAME),
)
RIFF_KINDS = {b"AVI ": ("a video (AVI)", A_FRAME), b"WAVE": ("a sound (WAV)", THE_FILE)}
TEXTS = (
    (rb"version https://git-lfs\.", "a Git LFS pointer", "fetch the file with `git lfs pull`"),
    (rb"(\.\./)*\.git/annex/|/annex/objects/", "a git-annex pointer", THE_FILE),
    (rb"data:[\w./+-]+[;,]", "a data URL", "send its bytes, or JSON, which takes data URLs"),
    (rb"https?://\S+\s*$", "an address", "send what is there, not where it is"),
    (
        rb"(iVBORw0KGgo|/9j/|R0lGOD|UklGR|Qk[0-3])[\w+/\s-]*",
        "an image in base64",
        "send its bytes, or JSON, which takes base64",
    ),
    (
        rb"(<\?xml[^>]*>\s*)?" + COMMENTS + rb"(<!DOCTYPE svg[^>\[]*(\[[^\]]*\])?[^>]*>\s*)?<svg\b",
        "an SVG drawing",
        AS_PNG,
    ),
    (COMMENTS + rb"<(!DOCTYPE html|html|head|body)\b", "a web page", THE_FILE),
    (rb"<\?xml|<\w+[\s>]", "XML text", THE_FILE),
    (rb"[\[{]", "JSON text", THE_FILE),
    (rb"P[1-7]\s", "a PNM image", AS_PNG),
)


def described(content: bytes) -> str:
    """What came, by its first bytes, and where that is known what to send in its place."""
    found = _known(content)
    if found is not None:
        what, advice = found
        return f"{what}: {advice}"
    if not content.strip(b"\0"):
        return f"{len(content):,} bytes that are all 0"
    head = content[:64]
    if _is_text(head):
        return f"{len(content):,} bytes of text"
    return f"{len(content):,} bytes that start with {head[:8].hex(' ')}"


def _known(content: bytes) -> tuple[str, str] | None:
    if content[4:8] == b"ftyp":
        return _by_brand(content)
    for beginning, what, advice in BEGINNINGS:
        if content.startswith(beginning):
            return what, advice
    for at, mark, what, advice in ELSEWHERE:
        if content[at : at + len(mark)] == mark:
            return what, advice
    if content.startswith(b"RIFF") and content[8:12] in RIFF_KINDS:
        return RIFF_KINDS[content[8:12]]
    text = content[:TEXT_LOOKED_AT].removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, what, advice in TEXTS if _is_text(text[:64].translate(None, NOT_ASCII)) else ():
        if re.match(pattern, text, re.IGNORECASE | re.DOTALL):
            return what, advice
    return None


def _by_brand(content: bytes) -> tuple[str, str]:
    length = min(int.from_bytes(content[:4], "big"), TEXT_LOOKED_AT)
    brands = [content[8:12], *(content[at : at + 4] for at in range(16, length, 4))]
    # A brand that two kinds share comes first in some files, and their own one behind it.
    for wanted, told in BRANDS.items():
        if any(brand.startswith(wanted) for brand in brands):
            return told
    return "a video (MP4 or QuickTime)", A_FRAME


def _is_text(head: bytes) -> bool:
    return head.isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in head)
