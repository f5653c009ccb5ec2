"""Requests that are a little off: forms, JSON, heads and images, each the same for its number."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from ..images.damaged import IMAGE_CHANGES, Material, bytes_changed
from .odd_heads import HEAD_CHANGES
from .raw import form

SESSION = "the_id_of_a_session_that_lives__"
"""What stands in a request for the id of a session that lives, and is as long as one."""
LABELS = ("one", "two", "Café ☕", "steps")
KINDS = ("form", "JSON", "head", "image")
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    10**30,
    "",
    " ",
    "\0",
    "\ud800",
    "e\u0301" * 90,
    "x" * 5000,
    "data:image/png;base64,",
    "AAAA",
    [],
    {},
    [[[[]]]],
    {"": {"": []}},
)
ODD_NUMBERS = (b"0", b"-1", b"1e999", b"NaN", b"Infinity", b"9" * 2000, b"0x10", b"01", b"[" * 3000)


def mutation(number: int, given: Material) -> tuple[str, bytes]:
    """A request by its number: what is off about it, and its bytes with SESSION in them."""
    chooser = random.Random(number)
    kind = KINDS[number % len(KINDS)]
    told, content = MAKERS[kind](chooser, given)
    return f"{number} ({kind}: {told})", content


def _form(chooser: random.Random, given: Material) -> tuple[str, bytes]:
    path, kind, body = _whole_form(chooser, _images(chooser, given))
    name, change = chooser.choice(
        (
            ("bytes", bytes_changed),
            ("names", _name_changed),
            ("line ends", lambda c, b: b.replace(b"\r\n", c.choice((b"\n", b"\r", b"\r\n\r\n")))),
            ("boundary", lambda c, b: b.replace(b"--edge", c.choice((b"-edge", b"--edge ")), 1)),
            ("repeated", lambda c, b: b.replace(b"--edge--\r\n", b"") * c.randint(2, 40) + b),
        )
    )
    return f"{name} of {path}", _request(path, kind, change(chooser, body))


def _json(chooser: random.Random, given: Material) -> tuple[str, bytes]:
    path, value = _whole_json(chooser, _images(chooser, given))
    told = "values"
    for _ in range(chooser.randint(1, 3)):
        _change_value(chooser, value)
    body = json.dumps(value).encode()
    if chooser.random() < 0.3:
        told = "bytes"
        body = bytes_changed(chooser, body)
    elif chooser.random() < 0.2:
        told = "a number"
        body = body.replace(b'"label"', chooser.choice(ODD_NUMBERS), 1)
    elif chooser.random() < 0.1:
        told = "encoding"
        body = body.decode().encode(chooser.choice(("utf-16", "utf-32", "utf-8-sig")))
    return f"{told} of {path}", _request(path, b"application/json", body)


def _head(chooser: random.Random, given: Material) -> tuple[str, bytes]:
    if chooser.random() < 0.3:
        whole = _request(chooser.choice(("/sessions", f"/sessions/{SESSION}", "/livez")), b"", b"")
        whole = b"GET" + whole.removeprefix(b"POST")
    elif chooser.random() < 0.5:
        whole = _request(*_whole_form(chooser, _images(chooser, given)))
    else:
        path, value = _whole_json(chooser, _images(chooser, given))
        whole = _request(path, b"application/json", json.dumps(value).encode())
    head, _, body = whole.partition(b"\r\n\r\n")
    lines, told = head.split(b"\r\n"), []
    for _ in range(chooser.randint(1, 3)):
        name, change = chooser.choice(HEAD_CHANGES)
        told.append(name)
        lines = change(chooser, lines) or [b""]
    return f"{' and '.join(told)}", b"\r\n".join(lines) + b"\r\n\r\n" + body


def _image(chooser: random.Random, given: Material) -> tuple[str, bytes]:
    name, image = chooser.choice(list(given.images.items()))
    told = [name]
    for _ in range(chooser.randint(1, 2)):
        how, change = chooser.choice(IMAGE_CHANGES)
        told.append(how)
        image = change(chooser, image, list(given.images.values()))
    images = [image, *_images(chooser, given)]
    if chooser.random() < 0.7:
        return ", ".join(told), _request(*_whole_form(chooser, images))
    path, value = _whole_json(chooser, images)
    return ", ".join(told), _request(path, b"application/json", json.dumps(value).encode())


def _images(chooser: random.Random, given: Material) -> list[bytes]:
    return chooser.sample(given.whole, 2)


def _whole_form(chooser: random.Random, images: Sequence[bytes]) -> tuple[str, bytes, bytes]:
    """Path, Content-Type and body of a call that is in order if its images are."""
    what = chooser.choice(("adapt", "support", "evaluate", "predict"))
    if what == "predict":
        options = {"session_id": SESSION} | ({"top_k": "1"} if chooser.random() < 0.5 else {})
        kind, body = form([("image", image) for image in images], **options)
        return "/predict", kind, body
    labels = LABELS[:2] if what == "evaluate" else chooser.sample(LABELS, 2)
    fields = [(labels[n % 2], image) for n, image in enumerate(images)]
    steps = {"steps": "2"} if what != "evaluate" and chooser.random() < 0.5 else {}
    kind, body = form(fields, **steps)
    return "/adapt" if what == "adapt" else f"/sessions/{SESSION}/{what}", kind, body


def _whole_json(chooser: random.Random, images: Sequence[bytes]) -> tuple[str, dict[str, Any]]:
    """Path and body of a call that is in order if its images are."""
    texts = [base64.b64encode(image).decode() for image in images]
    what = chooser.choice(("adapt", "support", "evaluate", "predict"))
    if what == "predict":
        return "/predict", {"session_id": SESSION, "images": texts, "top_k": 2}
    labelled = [{"label": LABELS[n % 2], "image": text} for n, text in enumerate(texts)]
    if what == "evaluate":
        return f"/sessions/{SESSION}/evaluate", {"queries": labelled}
    body = {"support": labelled, "steps": 1, "report": chooser.random() < 0.2}
    return "/adapt" if what == "adapt" else f"/sessions/{SESSION}/support", body


def _request(path: str, kind: bytes, body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1".encode(), b"Host: 127.0.0.1"]
    if kind:
        lines += [b"Content-Type: " + kind, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


def _change_value(chooser: random.Random, value: Any) -> None:
    """Change something within an object of JSON."""
    places: list[tuple[Any, Any]] = []

    def look(within: Any) -> None:
        keys = within if isinstance(within, dict) else range(len(within))
        for key in keys:
            places.append((within, key))
            if isinstance(within[key], dict | list):
                look(within[key])

    look(value)
    if not places:
        return
    within, key = chooser.choice(places)
    how = chooser.randrange(4)
    if how == 0:
        del within[key]
    elif how == 1 and isinstance(within, dict):
        within[chooser.choice(("", "label", "steps", "views", "\ud800", "k" * 2000))] = within[key]
    elif how == 2 and isinstance(within, list):
        within.extend(within * chooser.randint(1, 5))
    else:
        within[key] = copy.deepcopy(chooser.choice(ODD_VALUES))


def _name_changed(chooser: random.Random, body: bytes) -> bytes:
    odd = chooser.choice(
        (
            b'name="\xff"',
            b"name=one",
            b'name="\\"one"',
            b'name="one%22"',
            b"name*=UTF-8''%ff",
            b"name*=UTF-8''one; name=one",
            b'name=""',
            b'name="' + b"x" * 20_000 + b'"',
            b'name="one\xcc\x81"',
            b'name="=?utf-8?Q?one?="',
            b"",
        )
    )
    begin = body.find(b'name="')
    end = body.find(b'"', begin + 6) + 1
    return body[:begin] + odd + body[end:] if begin >= 0 else body


MAKERS: dict[str, Callable[[random.Random, Material], tuple[str, bytes]]] = {
    "form": _form,
    "JSON": _json,
    "head": _head,
    "image": _image,
}
