"""Multipart forms, chunk by chunk as they arrive: their files and texts, and nothing lost."""

from __future__ import annotations

from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..errors import MalformedBody

MAX_TEXT_BYTES = 1 << 20


@dataclass(frozen=True)
class FormFile:
    """A file field of a form."""

    field: str
    content: bytes


@dataclass(frozen=True)
class Form:
    """A multipart form in the order sent, files and texts apart."""

    files: tuple[FormFile, ...]
    texts: tuple[tuple[str, str], ...]


class FormReader:
    """Takes a form apart. `write` and `form` raise MalformedBody."""

    def __init__(self, boundary: bytes, max_parts: int) -> None:
        """``max_parts`` bounds files and texts, each for itself."""
        self._closing = _Closing(boundary)
        self._max_parts = max_parts
        self._files: list[FormFile] = []
        self._texts: list[tuple[str, str]] = []
        self._header, self._value = b"", b""
        self._disposition = b""
        self._field, self._is_file = "", False
        self._content: list[bytes] = []
        self._text_bytes, self._whole = 0, False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finished,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the form."""
        self._closing.write(chunk)
        try:
            self._parser.write(chunk)
        except FormParserError as broken:
            raise MalformedBody(f"the multipart form cannot be read: {broken}") from None

    def form(self) -> Form:
        """All that was written, which has to be a whole form.

        Parsers pass one without its closing boundary as a shorter form.
        """
        self._closing.check()
        if not self._whole:
            raise MalformedBody("the multipart form is cut off within its last part")
        return Form(tuple(self._files), tuple(self._texts))

    def _begin(self) -> None:
        self._disposition, self._content, self._text_bytes = b"", [], 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise MalformedBody(
                "expected a name in the Content-Disposition of every part of the form"
            )
        self._field, self._is_file = _decoded(options[b"name"]), b"filename" in options
        kind, taken = ("files", self._files) if self._is_file else ("text fields", self._texts)
        if len(taken) >= self._max_parts:
            raise MalformedBody(f"expected at most {self._max_parts:,} {kind} in a form, got more")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._content.append(data[start:end])
        if not self._is_file:
            self._text_bytes += end - start
            if self._text_bytes > MAX_TEXT_BYTES:
                raise MalformedBody(
                    f"expected at most {MAX_TEXT_BYTES:,} bytes in the text field "
                    f"{self._field[:50]!r}, got more; images are sent as files"
                )

    def _finished(self) -> None:
        self._whole = True

    def _end(self) -> None:
        content = b"".join(self._content)
        if self._is_file:
            self._files.append(FormFile(self._field, content))
        else:
            self._texts.append((self._field, _decoded(content)))


class _Closing:
    """Looks out for the closing boundary, of which a form has just one.

    Without it parsers drop the last part, with a second one all that follows the first.
    """

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary + b"--"
        self._carried, self._found = b"\r\n", 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the form."""
        seen = self._carried + chunk
        self._found += seen.count(self._delimiter)
        self._carried = seen[-(len(self._delimiter) - 1) :]

    def check(self) -> None:
        """Raise MalformedBody unless it was found just once."""
        closing = self._delimiter.strip().decode()
        if not self._found:
            raise MalformedBody(
                f"the multipart form is cut off: expected its closing boundary {closing} at the end"
            )
        if self._found > 1:
            raise MalformedBody(
                f"expected the closing boundary {closing} once, at the end, got it "
                f"{self._found} times"
            )


def _decoded(text: bytes) -> str:
    """Text in UTF-8, or in Latin-1 where it is no UTF-8."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")
