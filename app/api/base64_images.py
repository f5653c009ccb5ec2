"""Images in JSON: base64 in its variants, or data URLs, to bytes.

What can be read one way only is read; of the rest it is told what it looks like.
"""

from __future__ import annotations

import binascii
import contextlib
import re

PIECE = 1 << 20
"""Characters that are decoded at once, a multiple of 4: the interpreter is held meanwhile."""
LOOKED_AT = 500
"""Characters at either end of a text by which it is told what it is."""
_ALPHABETS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n\f\v"
_ESCAPES = {b"%2B": b"+", b"%2F": b"/", b"%3D": b"=", b"%0D": b"\r", b"%0A": b"\n", b"%20": b" "}
"""All that percent encoding makes of base64 and its line breaks."""
_DATA_URL = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)
_BLANKS_BETWEEN = re.compile(rb"\S {1,8}\S")
_OTHERS = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), told)
    for pattern, told in (
        (r"https?://.*", "a web address; this server fetches nothing, send the image itself"),
        (r"blob:.*", "an address that only one page in one browser can read"),
        (r"file:.*", "the address of a file; send its content"),
        (r"b(['\"]).*\1", "bytes as Python prints them; make a text of them by decode()"),
        (r"(['\"]).*\1", "a text with quotes of its own around it"),
        (r"(?:image/[\w.+-]+;\s*)?base64,.*", "a data URL without its beginning, data:"),
        (r"\[object \w+\]", "what JavaScript prints for an object"),
        (r"\s*<.*", "markup"),
        (r"(?:\.{0,2}|~|[a-z]:)[/\\].*", "a path; send the content of the file"),
        (
            r"[^\n]*\.(?:png|jpe?g|gif|bmp|webp|tiff?|hei[cf]|avif|svg)",
            "a path; send the content of the file",
        ),
    )
)
"""What texts look like that are no base64."""


class NotEncodedImage(ValueError):
    """A text that holds no image; says what was expected and what came, but does not repeat it."""


def image_bytes(text: str) -> bytes:
    """The bytes of base64 or of a data URL. Raises NotEncodedImage.

    Base64 may be of either alphabet (RFC 4648, sec. 4 and 5), with or without padding, in lines
    and indented; a data URL (RFC 2397) may be percent-encoded.
    """
    with contextlib.suppress(ValueError):
        return _exactly(text)
    data_url = _DATA_URL.match(text, 0, LOOKED_AT)
    if data_url is None:
        return _leniently(text)
    if data_url[1].rpartition(";")[2].strip().lower() != "base64":
        raise NotEncodedImage("expected base64, got a data URL without ;base64 before its comma")
    payload = text[data_url.end() :]
    with contextlib.suppress(ValueError):
        return _exactly(payload)
    return _leniently(payload)


def _exactly(text: str | bytes) -> bytes:
    """Raises ValueError for what is not padded base64 without anything else."""
    if len(text) <= PIECE:
        return binascii.a2b_base64(text, strict_mode=True)
    pieces = [
        binascii.a2b_base64(text[begin : begin + PIECE], strict_mode=True)
        for begin in range(0, len(text), PIECE)
    ]
    if any(len(piece) < PIECE // 4 * 3 for piece in pieces[:-1]):
        raise ValueError("padding before the end")
    return b"".join(pieces)


def _leniently(text: str) -> bytes:
    if not text.isascii():
        raise NotEncodedImage(f"expected base64, got {_what(text)}")
    sent = text.encode()
    if b"%" in sent:
        for escape, character in _ESCAPES.items():
            sent = sent.replace(escape, character).replace(escape.lower(), character)
    compact = sent.translate(None, _WHITE_SPACE)
    if compact.translate(None, _ALPHABETS):
        raise NotEncodedImage(f"expected base64, got {_what(text)}")
    if b" " in sent and _has_blanks_between(sent):
        raise NotEncodedImage(
            "expected base64, got blanks between its characters, each of which may have been a +"
        )
    bare = compact.rstrip(b"=")
    if (b"+" in bare or b"/" in bare) and (b"-" in bare or b"_" in bare):
        raise NotEncodedImage("expected one alphabet of base64, got + or / as well as - or _")
    return _padded(bare.translate(_URL_SAFE), len(compact) - len(bare))


def _padded(bare: bytes, padding: int) -> bytes:
    """Decode base64 without its padding, of which so much was sent."""
    over, missing = len(bare) % 4, -len(bare) % 4
    if b"=" in bare or over == 1 or padding not in (0, missing):
        raise NotEncodedImage(
            f"expected whole base64, got {len(bare) + padding:,} characters, which are cut off or "
            "have = where none belongs"
        )
    content = _exactly(bare + b"=" * missing)
    # Where the padding is missing, the text may end early: then bits are left over.
    if over and not padding and _encoded(content[1 - over :]) != bare[-over:]:
        raise NotEncodedImage(
            f"expected whole base64, got {len(bare):,} characters, which are cut off"
        )
    return content


def _encoded(content: bytes) -> bytes:
    return binascii.b2a_base64(content, newline=False).rstrip(b"=")


def _has_blanks_between(sent: bytes) -> bool:
    """Whether a line has blanks within, not only around it."""
    return any(
        _BLANKS_BETWEEN.search(sent, begin, begin + PIECE + 16)
        for begin in range(0, len(sent), PIECE)
    )


def _what(text: str) -> str:
    """What a text looks like that is no base64."""
    ends = text if len(text) <= 2 * LOOKED_AT else text[:LOOKED_AT] + text[-LOOKED_AT:]
    ends = ends.strip()
    for pattern, told in _OTHERS:
        if pattern.fullmatch(ends):
            return told
    foreign = text.lstrip((_ALPHABETS + _WHITE_SPACE).decode())[:1]
    return f"a text of {len(text):,} characters with {foreign!a} among them"
