"""Forms as they come over the wire: in pieces, with odd names, and broken."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from inkling.api.form import MAX_TEXT_BYTES, Form, FormFile, FormReader
from inkling.errors import MalformedBody

BOUNDARY = b"XX"
TEXT = b'--XX\r\nContent-Disposition: form-data; name="steps"\r\n\r\n5\r\n'
FILE = (
    b"--XX\r\nContent-Type: image/png\r\n"
    b'Content-Disposition: form-data; name="caf\xc3\xa9"; filename="1.png"\r\n\r\n'
    b"\x89PNG\r\n--X is no boundary\r\n\r\n"
)
END = b"--XX--\r\n"


def read(*chunks: bytes, most: int = 10) -> Form:
    reader = FormReader(BOUNDARY, most)
    for chunk in chunks:
        reader.write(chunk)
    return reader.form()


@pytest.mark.parametrize("length", [1, 2, 7, 1000])
def test_a_form_in_pieces_of_any_length(length: int) -> None:
    whole = TEXT + FILE + TEXT.replace(b"5", b"") + END
    pieces = [whole[start : start + length] for start in range(0, len(whole), length)]
    assert read(*pieces) == Form(
        files=(FormFile("café", b"\x89PNG\r\n--X is no boundary\r\n"),),
        texts=(("steps", "5"), ("steps", "")),
    )


def test_nothing_has_to_follow_the_end() -> None:
    assert read(TEXT, END.strip()).texts == (("steps", "5"),)


@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        ([TEXT], "closing boundary --XX-- at the end"),
        (
            [TEXT, b'--XX\r\nContent-Disposition: form-data; name="c"\r\n--XX--'],
            "behind a whole part",
        ),
        ([TEXT, b"--XX\r\n--XX--"], "behind a whole part"),
        ([TEXT, END, FILE, END], "once, at the end, got more of the form"),
        ([TEXT, TEXT, TEXT, END], "at most 2 text fields in a form"),
        ([FILE, FILE, FILE, END], "at most 2 files in a form"),
        ([TEXT.replace(b'name="steps"', b""), END], "expected a name"),
        ([TEXT.replace(b"5", b"5" * (MAX_TEXT_BYTES + 1)), END], "bytes in the text field 'steps'"),
        ([b"no form at all" + END], "the boundary .--XX., which"),
    ],
    ids=[
        "cut off",
        "end in a header",
        "end for a part",
        "two ends",
        "texts",
        "files",
        "no name",
        "long text",
        "no form",
    ],
)
def test_a_broken_form_is_refused_with_what_was_expected(
    chunks: Sequence[bytes], told: str
) -> None:
    with pytest.raises(MalformedBody, match=told):
        read(*chunks, most=2)
