"""Names of fields as clients write them: each as it was meant, or in doubt, never another."""

from __future__ import annotations

import pytest
from inkling.api.field_names import Disposition, read_disposition
from inkling.errors import MalformedBody

AIOHTTP = {
    "cat": b'form-data; name="cat"; filename="%E6%9D%B1%201.png"',
    "my cat": rb'form-data; name="my\ cat"; filename="1.png"',
    "tab\there": b'form-data; name="tab\\\there"; filename="1.png"',
    "café": b"form-data; name*=utf-8''caf%C3%A9; filename=\"1.png\"",
    '5" pipe': rb'form-data; name="5\"\ pipe"; filename="1.png"',
    "a;b": b'form-data; name="a;b"; filename="1.png"',
    "100%": b'form-data; name="100%"; filename="1.png"',
}
BROWSERS = {
    "my cat": 'form-data; name="my cat"; filename="東 1.png"'.encode(),
    "café": 'form-data; name="café"; filename="1.png"'.encode(),
    "a\\b": rb'form-data; name="a\b"; filename="1.png"',
    "back\\": rb'form-data; name="back\"; filename="1.png"',
    "\\\\server\\share": rb'form-data; name="\\server\share"; filename="1.png"',
    "100%": b'form-data; name="100%"; filename="1.png"',
    "%20": b'form-data; name="%20"; filename="1.png"',
    "C:\\": rb'form-data; name="C:\"',
}
"""As they come from browsers, curl, requests with urllib3 2, undici, axios, form-data, OkHttp."""
CURL_WITH_FORM_ESCAPE_AND_GO = {
    "my cat": b'form-data; name="my cat"; filename="1.png"',
    '5" pipe': rb'form-data; name="5\" pipe"; filename="1.png"',
    '"': rb'form-data; name="\""; filename="\"\\.png"',
    '\\"': rb'form-data; name="\\\""; filename="1.png"',
}
REQWEST = {
    "café": b"form-data; name*=utf-8''caf%C3%A9; filename*=utf-8''%E6%9D%B1.png",
    "50% off": b"form-data; name*=utf-8''50%25%20off; filename=\"1.png\"",
    '5" pipe': b"form-data; name*=utf-8''5%22%20pipe; filename=\"1.png\"",
}
DOT_NET = {
    "cat": b"form-data; name=cat; filename=1.png; filename*=utf-8''1.png",
    "my cat": b'form-data; name="my cat"; filename="1.png"',
    "café": b'form-data; name="=?utf-8?B?Y2Fmw6k=?="; filename="=?utf-8?B?5p2xLnBuZw==?="',
}
OTHERS = {
    "latin": b"form-data; name*=ISO-8859-1'en'latin; filename=x",
    "é": b"form-data; name*=iso-8859-1''%E9; filename=x",
    "café x": b'Form-Data;name="=?UTF-8?q?caf=C3=A9_x?=" ; FileName = "1.png"; size=3 ;',
    "caféé": b'form-data; name="=?utf-8?B?Y2Fmw6k=?= =?utf-8?B?w6k=?="; filename="1.png"',
}


@pytest.mark.parametrize(
    ("label", "header"),
    [
        item
        for client in (
            AIOHTTP, BROWSERS, CURL_WITH_FORM_ESCAPE_AND_GO, REQWEST, DOT_NET, OTHERS
        )
        for item in client.items()
    ],
)  # fmt: skip
def test_a_label_comes_out_as_it_was_meant(label: str, header: bytes) -> None:
    found = read_disposition(header)
    assert found.name.meanings == (label,)
    assert found.is_file == (b"filename" in header.lower())


@pytest.mark.parametrize(
    ("name", "meanings"),
    [
        (rb"5%22 pipe", {'5" pipe', "5%22 pipe"}),
        (rb"a%0D%0Ab", {"a\r\nb", "a%0D%0Ab"}),
        (rb"tab%09here", {"tab\there", "tab%09here"}),
        (rb"a\\b", {"a\\b", "a\\\\b"}),
        (rb"back\\", {"back\\", "back\\\\"}),
        (rb"&#233;", {"é", "&#233;"}),
    ],
    ids=["quote", "line break", "tab", "backslash", "backslash at the end", "page in Latin-1"],
)
def test_a_name_that_clients_mean_differently_is_in_doubt(name: bytes, meanings: set[str]) -> None:
    found = read_disposition(b'form-data; name="%s"; filename="1.png"' % name)
    assert set(found.name.meanings) == meanings
    told = found.name.doubt()
    assert told is not None
    assert told.code == "ambiguous_name"
    assert "JSON" in told.message


def test_backslashes_and_percent_signs_tell_for_each_other() -> None:
    r"""What writes a lone backslash as it is writes `"` as `%22`."""
    assert _named(rb"a\b%22").name.meanings == ('a\\b"',)


def test_half_characters_are_no_meaning() -> None:
    assert _named(b"&#55296;").name.meanings == ("&#55296;",)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"form-data", "expected a name"),
        (b"", "expected a name"),
        (b'form-data; filename="1.png"', "expected a name"),
        (b'form-data; name="5" pipe"; filename="1.png"', "of the form form-data; name="),
        (b'form-data; name="a; filename="1.png"', "of the form form-data; name="),
        (b'form-data; name="a"; name="b"', "one whole name"),
        (b"form-data; name*0=a; name*1=b", "one whole name"),
        (rb'form-data; name="5\"a\b"', "a backslash stands before"),
        (b'form-data; name="caf\xe9"', "in UTF-8"),
        (b"form-data; name*=utf-8''%E9", "in UTF-8"),
        (b"form-data; name*=utf-8''%", "in UTF-8"),
        (b"form-data; name*=shift_jis''%83", "in UTF-8"),
        (b"form-data; name*=cat", "in UTF-8"),
        (b'form-data; name="=?utf-8?B?Y2Fm*?="', "as an encoded word cannot be read"),
        (b'form-data; name="=?big5?B?Y2Fm?="', "as an encoded word cannot be read"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(header: bytes, told: str) -> None:
    with pytest.raises(MalformedBody, match=told):
        read_disposition(header)


def test_two_names_must_be_the_same() -> None:
    both = b"form-data; name=\"%s\"; name*=utf-8''caf%%C3%%A9"
    assert read_disposition(both % "café".encode()).name.meanings == ("café",)
    assert read_disposition(both % b"caf?").name.doubt() is not None


def _named(name: bytes) -> Disposition:
    return read_disposition(b'form-data; name="%s"; filename="1.png"' % name)
