"""Multipart forms, chunk by chunk as they arrive: their files and texts, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import MalformedBody, Problem
from .field_names import SHOWN, Disposition, FieldName, read_disposition

MAX_TEXT_BYTES = 1 << 20
MAX_HEADER_BYTES = 1 << 14
"""Of all header lines of one part."""
MAX_NAME_LENGTH = 1000
"""Of a field, whose name may have to be told again; labels are shorter."""
MAX_AROUND_BYTES = 1 << 16
"""Of the text that may stand before the first boundary, and behind the last."""
MAX_PADDING_BYTES = 200
"""Of the blanks behind a boundary."""
AS_THEY_ARE = ("", "binary", "8bit", "7bit")
"""The Content-Transfer-Encodings that leave bytes as they are."""
CRLF, LF = b"\r\n", b"\n"


@dataclass(frozen=True)
class FormFile:
    """A file field of a form."""

    field: str
    content: bytes


@dataclass(frozen=True)
class Form:
    """A multipart form in the order sent, files and texts apart.

    A file input of a web page in which no file was chosen is not among them. ``problems`` are
    those of names that can be read in several ways.
    """

    files: tuple[FormFile, ...]
    texts: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...] = ()


class FormReader:
    """Takes a form apart (RFC 7578). `write` and `form` raise MalformedBody.

    Lines may end in CR LF or in LF, but all in the same: which it is, the first boundary tells.
    """

    def __init__(self, boundary: bytes, max_parts: int) -> None:
        """``max_parts`` bounds files and texts, each for itself."""
        self._boundary = b"--" + boundary
        self._delimiter = LF + self._boundary
        self._max_parts = max_parts
        self._names: list[FieldName] = []
        self._files: list[FormFile] = []
        self._texts: list[tuple[str, str]] = []
        self._n_parts = {True: 0, False: 0}
        self._line_end = b""
        self._disposition = Disposition(FieldName(("",)), is_file=False, has_filename=False)
        self._content: list[bytes] = []
        self._text_bytes = 0
        # The form begins with a boundary as if a line had ended before it.
        self._buffer = bytearray(LF)
        self._take: Callable[[], bool] = self._take_preamble

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the form."""
        self._buffer += chunk
        while self._take():
            pass

    def form(self) -> Form:
        """All that was written, which has to be a whole form."""
        closing = (self._boundary + b"--").decode("latin-1")
        if self._take == self._take_preamble:
            raise MalformedBody(
                f"expected the boundary {self._boundary.decode('latin-1')!r}, which the "
                "Content-Type names, at the beginning of a line of the form, got none"
            )
        if self._take != self._take_epilogue:
            raise MalformedBody(
                f"the multipart form is cut off: expected its closing boundary {closing} at the "
                "end, behind a whole part"
            )
        if self._delimiter in self._buffer or b"content-disposition" in self._buffer.lower():
            raise MalformedBody(
                f"expected the closing boundary {closing} once, at the end, got more of the form "
                "behind it"
            )
        return Form(tuple(self._files), tuple(self._texts), _problems(self._names))

    def _take_preamble(self) -> bool:
        at = self._buffer.find(self._delimiter)
        if at < 0 and len(self._buffer) <= MAX_AROUND_BYTES:
            return False
        if at < 0 or b"content-disposition" in self._buffer[:at].lower():
            raise MalformedBody(
                f"expected the form to begin with the boundary {self._boundary.decode('latin-1')!r}"
                ", which its Content-Type names, got something else"
            )
        del self._buffer[: at + len(self._delimiter)]
        self._take = self._take_boundary
        return True

    def _take_boundary(self) -> bool:
        """What stands behind a boundary: `--`, or blanks and the end of the line."""
        if self._buffer.startswith(b"--"):
            self._take = self._take_epilogue
            return True
        end = self._buffer.find(LF)
        if end < 0 and len(self._buffer) <= MAX_PADDING_BYTES:
            return False
        line = bytes(self._buffer[: end + 1]) if end >= 0 else b""
        line_end = CRLF if line.endswith(CRLF) else LF
        if line.removesuffix(line_end).strip(b" \t") or not line:
            raise MalformedBody(
                "expected the end of the line or -- behind a boundary, got other characters: the "
                "boundary may not be part of what is sent"
            )
        self._line_end = self._line_end or line_end
        self._check_line_end(line)
        del self._buffer[: end + 1]
        self._take = self._take_headers
        return True

    def _take_headers(self) -> bool:
        """The header lines of a part, and the empty line."""
        if self._buffer.startswith(self._line_end):
            end, block = 0, b""
        else:
            end = self._buffer.find(self._line_end * 2, 0, MAX_HEADER_BYTES)
            block = bytes(self._buffer[: max(end, 0)])
            if end < 0:
                # A line that ends otherwise would hide the end of the headers.
                self._check_line_end(bytes(self._buffer[: self._buffer.find(LF) + 1]))
                self._check_cut_off()
                return False
            end += len(self._line_end)
        # The line feed of the empty line stays, since a boundary may follow it at once.
        del self._buffer[: end + len(self._line_end) - 1]
        self._begin(self._header_fields(block))
        return True

    def _header_fields(self, block: bytes) -> dict[str, bytes]:
        """Header lines by their names in lower case; a line that begins with a blank goes on."""
        found: dict[str, bytes] = {}
        name = ""
        for line in block.split(self._line_end) if block else ():
            if b"\n" in line or b"\r" in line:
                self._refuse_line_ends()
            if name and line[:1] in (b" ", b"\t"):
                found[name] += b" " + line.strip(b" \t")
                continue
            before, colon, value = line.partition(b":")
            name = before.decode("latin-1").strip(" \t").lower()
            if not colon or not name or name in found:
                raise MalformedBody(
                    "expected header lines NAME: VALUE, each name once, an empty line and the "
                    f"content in each part of the form, got {line[:SHOWN].decode('latin-1')!r}"
                )
            found[name] = value.strip(b" \t")
        return found

    def _check_cut_off(self) -> None:
        """Raise MalformedBody for headers without an end."""
        if len(self._buffer) >= MAX_HEADER_BYTES:
            raise MalformedBody(
                f"expected at most {MAX_HEADER_BYTES:,} bytes of headers in a part of the form, "
                "got more"
            )

    def _begin(self, headers: dict[str, bytes]) -> None:
        """Begin the content of a part."""
        self._disposition = read_disposition(headers.get("content-disposition", b""))
        if len(self._field) > MAX_NAME_LENGTH:
            raise MalformedBody(
                f"expected a name of at most {MAX_NAME_LENGTH:,} characters for each field, got "
                f"{len(self._field):,}"
            )
        self._names.append(self._disposition.name)
        encoding = headers.get("content-transfer-encoding", b"").decode("latin-1").lower()
        if encoding not in AS_THEY_ARE:
            raise MalformedBody(
                f"expected bytes as they are in the field {self._field!r}, got "
                f"Content-Transfer-Encoding {encoding[:SHOWN]!r}; base64 can be sent in JSON"
            )
        is_file = self._disposition.is_file
        self._n_parts[is_file] += 1
        if self._n_parts[is_file] > self._max_parts:
            kind = "files" if is_file else "text fields"
            raise MalformedBody(f"expected at most {self._max_parts:,} {kind} in a form, got more")
        self._content, self._text_bytes = [], 0
        self._take = self._take_first_content

    def _take_first_content(self) -> bool:
        if len(self._buffer) < len(self._delimiter):
            return False
        if self._buffer.startswith(self._delimiter):
            return self._end_at(0, 0)
        del self._buffer[:1]
        self._take = self._take_content
        return True

    def _take_content(self) -> bool:
        at = self._buffer.find(self._delimiter)
        if at < 0:
            # What may be the beginning of a boundary stays, with a CR before it.
            sure = len(self._buffer) - len(self._delimiter)
            if sure > 0:
                self._add(bytes(self._buffer[:sure]))
                del self._buffer[:sure]
            return False
        after_return = self._buffer[at - 1 : at] == b"\r"
        if after_return != (self._line_end == CRLF):
            self._refuse_line_ends()
        return self._end_at(at - after_return, at)

    def _end_at(self, end: int, delimiter: int) -> bool:
        """End a part whose content goes on to ``end`` in the buffer."""
        self._add(bytes(self._buffer[:end]))
        del self._buffer[: delimiter + len(self._delimiter)]
        content = b"".join(self._content)
        if not self._disposition.is_file:
            self._texts.append((self._field, self._text(content)))
        elif content or self._disposition.has_filename:
            self._files.append(FormFile(self._field, content))
        self._take = self._take_boundary
        return True

    def _take_epilogue(self) -> bool:
        if len(self._buffer) > MAX_AROUND_BYTES:
            raise MalformedBody("expected nothing behind the closing boundary of the form")
        return False

    @property
    def _field(self) -> str:
        return self._disposition.name.meanings[0]

    def _add(self, content: bytes) -> None:
        self._content.append(content)
        if self._disposition.is_file:
            return
        self._text_bytes += len(content)
        if self._text_bytes > MAX_TEXT_BYTES:
            raise MalformedBody(
                f"expected at most {MAX_TEXT_BYTES:,} bytes in the text field "
                f"{self._field[:SHOWN]!r}, got more; images are sent as files"
            )

    def _text(self, content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise MalformedBody(
                f"expected UTF-8 in the text field {self._field[:SHOWN]!r}, got other bytes; "
                "images are sent as files"
            ) from None

    def _check_line_end(self, line: bytes) -> None:
        if line and line.endswith(CRLF) != (self._line_end == CRLF):
            self._refuse_line_ends()

    def _refuse_line_ends(self) -> None:
        raise MalformedBody(
            "expected one kind of line end in the form, CR LF as its standard says or LF in all "
            "lines, got both: where the content of a part ends cannot be told"
        )


def _problems(names: list[FieldName]) -> tuple[Problem, ...]:
    """The names that can be read in several ways, each once."""
    doubts = dict.fromkeys(name.doubt() for name in names)
    escaping = next((name for name in names if name.escapes_blanks), None)
    if escaping and any(name.has_blanks for name in names):
        message = (
            "expected blanks in names of fields as they are, or with a backslash before each, got "
            "both in one form"
        )
        doubts[Problem("ambiguous_name", message, escaping.meanings[0][:SHOWN])] = None
    return tuple(doubt for doubt in doubts if doubt is not None)
