r"""Names of form fields as clients write them, read as they were meant or told to be in doubt.

A label is a field's name, and no two families of clients write all names alike:

- browsers, curl, urllib3, OkHttp, axios: `"` is `%22`, line breaks are `%0D` and `%0A`, and a
  backslash or a percent sign is just that; pages that are not in UTF-8 have `&#233;` for others
- httpx: as above, but a backslash is `\\` and all control characters are `%XX`
- Go, Apache, `curl --form-escape`: `"` is `\"` and a backslash is `\\`
- aiohttp: as above, and a blank is `\ `
- aiohttp and reqwest beyond ASCII: `name*=utf-8''caf%C3%A9` (RFC 8187)
- .NET beyond ASCII: `=?utf-8?B?Y2Fmw6k=?=` (RFC 2047)

A name is read in each way in which it can have been written. Where these agree it is known.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from ..errors import MalformedBody, Problem
from .parameters import Parameter, parameters

CHARSETS = ("utf-8", "us-ascii", "iso-8859-1")
"""Those in which an encoded name is read."""
SHOWN = 100
"""Characters of what came that a message repeats."""
_WORD = r"=\?([^?\s]+)\?([BbQq])\?([^?\s]*)\?="
_USUAL = re.compile(rb'form-data; name="([\w .-]*)"(?:; filename="([\w .-]*)")?')
"""What all clients write alike and most calls have."""
_LIKE_WORDS = re.compile(r"=\?.*\?=")


@dataclass(frozen=True)
class FieldName:
    r"""What a name can mean, each thing once; in doubt if it is more than one.

    ``escapes_blanks`` tells that blanks came as `\ `, ``has_blanks`` that they came as they are:
    no client does both.
    """

    meanings: tuple[str, ...]
    escapes_blanks: bool = False

    @property
    def has_blanks(self) -> bool:
        """Whether blanks came as they are."""
        return not self.escapes_blanks and " " in self.meanings[0]

    def doubt(self) -> Problem | None:
        """What is wrong with a name that can mean several things."""
        if len(self.meanings) == 1:
            return None
        meant = " or ".join(repr(meaning[:SHOWN]) for meaning in self.meanings)
        message = (
            f"expected a name that is read one way only, got one that means {meant}, depending on "
            "the program that wrote it; send such labels in JSON, or in UTF-8 as name*=utf-8''..., "
            "where all but letters and digits is %XX"
        )
        return Problem("ambiguous_name", message, self.meanings[0][:SHOWN])


@dataclass(frozen=True)
class Disposition:
    """What the Content-Disposition of a part says; an empty file input has no file's name."""

    name: FieldName
    is_file: bool
    has_filename: bool


def read_disposition(header: bytes) -> Disposition:
    """Read the value of a Content-Disposition. Raises MalformedBody."""
    usual = _USUAL.fullmatch(header)
    if usual is not None:
        return Disposition(FieldName((usual[1].decode(),)), usual[2] is not None, bool(usual[2]))
    text = header.decode("latin-1")
    plain, escaping = parameters(text, escaping=False), parameters(text, escaping=True)
    readings = [reading for reading in (plain, escaping) if reading is not None]
    if len({tuple(parameter.name for parameter in reading) for reading in readings}) != 1:
        raise MalformedBody(
            'expected a Content-Disposition of the form form-data; name="..."; filename="..." for '
            f"every part, got {text[:SHOWN]!r}"
        )
    filenames = [each for each in readings[0] if each.name.partition("*")[0] == "filename"]
    return Disposition(
        _field_name(plain, escaping),
        is_file=bool(filenames),
        has_filename=any(each.value for each in filenames),
    )


def _field_name(
    plain: Sequence[Parameter] | None, escaping: Sequence[Parameter] | None
) -> FieldName:
    known = plain if plain is not None else escaping or ()
    extended = [_extended(each.value) for each in known if each.name == "name*"]
    named = [each for each in known if each.name == "name"]
    continued = any(each.name.startswith("name*") and each.name != "name*" for each in known)
    if len(named) > 1 or len(extended) > 1 or continued:
        raise MalformedBody("expected one whole name in the Content-Disposition of a part")
    if not named and not extended:
        raise MalformedBody("expected a name in the Content-Disposition of every part of the form")
    meanings, escapes_blanks = set(extended), False
    if named and not named[0].quoted:
        meanings.add(_utf8(named[0].value))
    elif named:
        in_quotes, escapes_blanks = _in_quotes(_name_of(plain), _name_of(escaping))
        meanings |= in_quotes
    return FieldName(tuple(sorted(meanings)), escapes_blanks)


def _name_of(reading: Sequence[Parameter] | None) -> str | None:
    return None if reading is None else next(_utf8(p.value) for p in reading if p.name == "name")


def _in_quotes(plain: str | None, escaping: str | None) -> tuple[set[str], bool]:
    """All that a text in quotes can mean, by its two readings, and whether blanks are escaped."""
    if plain is not None and _LIKE_WORDS.fullmatch(plain):
        return {_words(plain)}, False
    aiohttp = None if escaping is None else _by_aiohttp(escaping)
    if aiohttp is not None:
        return {aiohttp}, True
    found = {read(plain) for read in _NOT_ESCAPING} if plain is not None else set()
    if escaping is not None:
        found |= {read(escaping) for read in _ESCAPING}
    meanings = {meaning for meaning in found if meaning is not None}
    if not meanings:
        raise MalformedBody(
            "expected a name in which a backslash stands before a backslash or a quote alone, got "
            f"{(escaping or '')[:SHOWN]!r}"
        )
    return meanings, False


def _by_browsers(text: str) -> str:
    return re.sub("%(22|0D|0A)", _hexadecimal, text)


def _by_pages(text: str) -> str:
    """What pages in another charset mean, where characters are missing in it."""
    return re.sub("&#([0-9]{2,7});", _numbered, _by_browsers(text))


def _by_httpx(text: str) -> str | None:
    if re.search(r'\\"', text.replace(r"\\", "")):
        return None
    unescaped = _by_go(text)
    return None if unescaped is None else re.sub("%(22|[01][0-9A-F])", _hexadecimal, unescaped)


def _by_go(text: str) -> str | None:
    r"""None unless all backslashes are of `\\` and `\"`."""
    if not re.fullmatch(r'(?:[^\\]|\\[\\"])*', text):
        return None
    return re.sub(r"\\(.)", r"\1", text)


def _by_aiohttp(text: str) -> str | None:
    r"""None unless it has blanks and all of them are escaped."""
    if not re.fullmatch(r'(?:[^\\ \t]|\\[\\" \t])*', text) or not re.search(r"[ \t]", text):
        return None
    return re.sub(r"\\(.)", r"\1", text)


_NOT_ESCAPING: tuple[Callable[[str], str | None], ...] = (_by_browsers, _by_pages)
_ESCAPING: tuple[Callable[[str], str | None], ...] = (_by_httpx, _by_go)


def _hexadecimal(matched: re.Match[str]) -> str:
    return chr(int(matched[1], 16))


def _numbered(matched: re.Match[str]) -> str:
    number = int(matched[1])
    is_character = number <= 0x10FFFF and not 0xD800 <= number < 0xE000
    return chr(number) if is_character else matched[0]


def _words(text: str) -> str:
    """Encoded words (RFC 2047), one after the other. Raises MalformedBody."""
    if not re.fullmatch(rf"{_WORD}(?:[ \t]+{_WORD})*", text):
        raise MalformedBody(_not_read("an encoded word", text))
    return "".join(
        _in_charset(charset, _word(kind, content), "an encoded word", text)
        for charset, kind, content in re.findall(_WORD, text)
    )


def _word(kind: str, content: str) -> bytes | None:
    if kind in "Qq":
        return unquote_to_bytes(content.replace("_", " ").replace("%", "%25").replace("=", "%"))
    try:
        return binascii.a2b_base64(content, strict_mode=True)
    except (binascii.Error, ValueError):
        return None


def _extended(text: str) -> str:
    """A value with its charset (RFC 8187). Raises MalformedBody."""
    whole = re.fullmatch(r"([\w-]+)'[\w-]*'((?:[!-$&-~]|%[0-9A-Fa-f]{2})*)", text, re.ASCII)
    if whole is None:
        raise MalformedBody(_not_read("a name*", text))
    return _in_charset(whole[1], unquote_to_bytes(whole[2]), "a name*", text)


def _in_charset(charset: str, encoded: bytes | None, what: str, shown: str) -> str:
    if encoded is None or charset.lower() not in CHARSETS:
        raise MalformedBody(_not_read(what, shown))
    try:
        return encoded.decode(charset)
    except UnicodeDecodeError:
        raise MalformedBody(_not_read(what, shown)) from None


def _not_read(what: str, shown: str) -> str:
    return f"expected a name in UTF-8, got {shown[:SHOWN]!r}, which as {what} cannot be read"


def _utf8(text: str) -> str:
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise MalformedBody(
            "expected the names of a form's fields in UTF-8, got one in another charset: "
            f"{text[:SHOWN]!r}"
        ) from None
