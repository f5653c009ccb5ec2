"""Bodies that came compressed, unpacked piece by piece as they arrive."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import NoReturn

from ..errors import MalformedBody, UnsupportedCoding

CODINGS = ("gzip", "deflate")
SAME = {"x-gzip": "gzip"}
PIECE_BYTES = 1 << 18
"""The most that is unpacked at once."""
GZIP, ZLIB, BARE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
"""What zlib calls the three ways in which deflated data comes."""


class Unpacker:
    """Unpacks a body of one coding. Both methods raise MalformedBody."""

    def __init__(self, coding: str) -> None:
        self._coding, self._begin = coding, b""
        self._unpacking = zlib.decompressobj(GZIP) if coding == "gzip" else None

    def unpack(self, chunk: bytes) -> Iterator[bytes]:
        """The next chunk in pieces of at most `PIECE_BYTES`; nobody need take them all."""
        if self._unpacking is None:
            self._begin += chunk
            if len(self._begin) < 2:
                return
            self._unpacking, chunk = zlib.decompressobj(_deflated(self._begin)), self._begin
        if chunk and self._unpacking.eof:
            self._refuse_more()
        more = True
        while more:
            try:
                piece = self._unpacking.decompress(chunk, PIECE_BYTES)
            except zlib.error:
                raise MalformedBody(
                    f"expected {self._coding}, which the Content-Encoding says, got a body that "
                    "is damaged or something else"
                ) from None
            yield piece
            chunk = self._unpacking.unconsumed_tail
            more = bool(chunk) or len(piece) == PIECE_BYTES
        if self._unpacking.unused_data:
            self._refuse_more()

    def end(self) -> None:
        """Check that the body was whole."""
        if self._unpacking is None or not self._unpacking.eof:
            raise MalformedBody(f"the {self._coding} body is cut off")

    def _refuse_more(self) -> NoReturn:
        raise MalformedBody(f"expected nothing behind the end of the {self._coding} body")


def content_coding(sent: Sequence[str]) -> str | None:
    """The coding that Content-Encoding headers name, None for none. Raises UnsupportedCoding."""
    named = [part.strip().lower() for header in sent for part in header.split(",")]
    codings = [SAME.get(name, name) for name in named if name not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in CODINGS:
        raise UnsupportedCoding(CODINGS, ", ".join(sent)[:100])
    return codings[0]


def _deflated(begin: bytes) -> int:
    """Whether deflate came as its standard says (RFC 9110, sec. 8.4.1.2) or bare, as some send."""
    has_header = begin[0] & 15 == zlib.DEFLATED and int.from_bytes(begin[:2], "big") % 31 == 0
    return ZLIB if has_header else BARE
