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


@pytest.mark.parametrize("length", [1, 3, 1000])
def test_a_form_whose_lines_end_in_line_feeds(length: int) -> None:
    whole = (TEXT + FILE + END).replace(b"\r\n", b"\n")
    pieces = [whole[start : start + length] for start in range(0, len(whole), length)]
    assert read(*pieces) == Form(
        files=(FormFile("café", b"\x89PNG\n--X is no boundary\n"),), texts=(("steps", "5"),)
    )


@pytest.mark.parametrize(
    "form",
    [
        b"--XX\n" + FILE.partition(b"\r\n")[2] + END,
        FILE[:-2] + b"\n" + END,
        FILE.replace(b"\r\n", b"\n")[:-1] + b"\r\n" + END.replace(b"\r\n", b"\n"),
        FILE.replace(b"\r\nContent-D", b"\nContent-D") + END,
    ],
    ids=["first line", "before a boundary", "content that ends in CR", "headers"],
)
def test_mixed_line_ends_leave_no_doubt_where_an_image_ends(form: bytes) -> None:
    with pytest.raises(MalformedBody, match="one kind of line end"):
        read(form)


def test_what_the_standard_allows_around_and_in_parts() -> None:
    folded = TEXT.replace(b'; name="steps"', b';\r\n\tname="steps"').replace(b"--XX", b"--XX \t")
    bare = b'--XX\r\nContent-Disposition: form-data; name="views"\r\n\r\n'
    assert read(b"This is a form.\r\n", folded, bare, END, b"That was it.").texts == (
        ("steps", "5"),
        ("views", ""),
    )


def test_parts_with_many_and_long_headers() -> None:
    more = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 400) for n in range(30))
    assert read(TEXT.replace(b"\r\n", b"\r\n" + more, 1), END).texts == (("steps", "5"),)


def test_a_file_may_have_a_name_in_another_charset_alone() -> None:
    alone = FILE.replace(b'filename="1.png"', b"filename*=utf-8''%E6%9D%B1.png")
    assert [file.field for file in read(alone, END).files] == ["café"]


def test_an_input_in_which_no_file_was_chosen_is_no_image() -> None:
    head, _, content = FILE.replace(b'"1.png"', b'""').partition(b"\r\n\r\n")
    assert read(head + b"\r\n\r\n\r\n", END).files == ()
    assert len(read(head + b"\r\n\r\n" + content, END).files) == 1
    named, _, _ = FILE.partition(b"\r\n\r\n")
    assert read(named + b"\r\n\r\n\r\n", END).files == (FormFile("café", b""),)


@pytest.mark.parametrize("encoding", [b"binary", b"8BIT", b"7bit"])
def test_transfer_encodings_that_change_nothing(encoding: bytes) -> None:
    header = b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n"
    assert read(FILE.replace(b"\r\n", header, 1), END).files == read(FILE, END).files


def test_blanks_that_are_escaped_in_one_name_and_not_in_another_are_in_doubt() -> None:
    escaped = FILE.replace("café".encode(), rb"my\ cat")
    assert read(escaped, END).problems == ()
    bare = FILE.replace("café".encode(), b"your dog")
    (told,) = read(escaped, bare, END).problems
    assert (told.code, told.field) == ("ambiguous_name", "my cat")


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
        ([FILE.replace(b"\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n", 1)], "base64"),
        ([TEXT.replace(b"\r\n", b"\r\ncontent-disposition: form-data\r\n", 1)], "each name once"),
        ([TEXT.replace(b"Content-D", b"X: " + b"x" * 20_000 + b"\r\nContent-D")], "of headers"),
        ([TEXT.replace(b"steps", b"x" * 2000)], "name of at most 1,000 characters"),
        ([TEXT.replace(b"5", b"\xe9"), END], "UTF-8 in the text field 'steps'"),
        ([TEXT.replace(b"\r\n\r\n", b"\r\n"), TEXT, END], "an empty line"),
        ([TEXT.replace(b"--XX", b"--XY"), TEXT, END], "begin with the boundary"),
        ([TEXT, b"--XXX\r\n", END], "the end of the line or --"),
        ([TEXT, END, b"x" * 100_000], "nothing behind the closing boundary"),
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
        "base64",
        "header twice",
        "long headers",
        "long name",
        "text in another charset",
        "no empty line",
        "part before the first boundary",
        "boundary that goes on",
        "much behind the end",
        "no form",
    ],
)
def test_a_broken_form_is_refused_with_what_was_expected(
    chunks: Sequence[bytes], told: str
) -> None:
    with pytest.raises(MalformedBody, match=told):
        read(*chunks, most=2)
