"""Bodies that were made up, about images that can be read, sessions that live and their labels.

A value of the right form is replaced; one that is wrong stays, so that what is wrong with a body
stays wrong.
"""

from __future__ import annotations

import base64
import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx
from inkling.api.positions import PATTERN as POSITION_PATTERN
from inkling.api.schemas import LABEL_SCHEMA, AdaptBody, PredictBody
from inkling.api.session_ids import PATTERN
from inkling.api.session_routes import CURSOR_PATTERN
from inkling.service.validation import MAX_LABEL_LENGTH

TEXTS = (*AdaptBody.model_fields, *PredictBody.model_fields)
"""Text fields of forms; every other field is a label."""
LABELS = ("one", "two")
LEAST_LABELS = {"adapt": 2, "support": 1, "evaluate": 1}
"""How many labels a call has to have, which is told in words alone."""
ID_LENGTH = 32
FEW = 5
"""Images that are added to a session, which has room for so many several times."""
BOUNDARY = "edge-of-a-part"
Fields = list[tuple[str, bytes | str, bool]]
"""Of a form: names, contents, and whether they are files."""


class RealThings:
    """Images, and sessions of a server."""

    def __init__(self, http: httpx.Client, images: Sequence[bytes], most_images: int) -> None:
        """``http`` calls the server, which takes ``most_images`` at once."""
        self._http, self._most_images = http, most_images
        self._images = itertools.cycle(images)
        self.session = self.new_session()
        self.new_session()
        self.file = http.get(f"/sessions/{self.session}/export").content
        self.cursor = str(http.get("/sessions?limit=1").json()["next"])

    def new_session(self) -> str:
        """The id of a session with LABELS, in which the first image may be taken out."""
        files = [(label, ("1.png", next(self._images))) for label in (LABELS[0], *LABELS)]
        session_id: str = self._http.post("/adapt", files=files).json()["session_id"]
        return session_id

    def in_place_of(self, session_id: object) -> object:
        """A new session in the place of another one, or of what looks like an id."""
        looks_like_one = re.fullmatch(PATTERN, str(session_id)) is not None
        return self.new_session() if looks_like_one else session_id

    def position(self, made_up: object) -> object:
        """A position in a session, in the place of one of the right form."""
        looks_like_one = re.fullmatch(POSITION_PATTERN, str(made_up)) is not None
        return "0" if looks_like_one else made_up

    def json(self, what: str, session_id: object, body: Any) -> Any:
        """The body of a call ``what``, such as `adapt`, on a session."""
        if not isinstance(body, dict):
            return body
        real = dict(body)
        if is_made_up_id(real.get("session_id")):
            real["session_id"] = self.session
        for name in ("images", "support", "queries"):
            if isinstance(real.get(name), list):
                labels = self._labels(session_id) if name == "queries" else None
                real[name] = [self._entry(entry, labels) for entry in real[name]]
        support = real.get("support")
        if isinstance(support, list):
            real["support"] = support[: self._room(what, len(support))]
        if what == "adapt" and isinstance(support, list):
            _set_apart(real["support"])
        return real

    def form(self, what: str, session_id: object, body: Mapping[str, Any]) -> Fields:
        """The fields of the form of a call ``what`` on a session, images as files."""
        fields: Fields = []
        labels = self._labels(session_id) if what == "evaluate" else None
        found = set[str]()
        lists = [value for name, value in body.items() if _is_images(name, value)]
        left = self._room(what, sum(map(len, lists)))
        for name, value in body.items():
            if is_made_up_id(value) and name == "session_id":
                fields.append((name, self.session, False))
            elif name == "session" and isinstance(_text(value), bytes):
                fields.append((name, self.file, True))
            elif _is_images(name, value):
                if value and left <= 0 and len(found) >= LEAST_LABELS["adapt"]:
                    continue
                label = next(labels) if labels is not None and _is_label(name) else name
                some = value[: max(1, left)]
                left -= len(some)
                fields += [(label, self._image(item), True) for item in some]
                found.add(_plain(label))
            else:
                items = value if isinstance(value, list) else [value]
                fields += [(name, _text(item), False) for item in items]
        missing = [label for label in LABELS if label not in found]
        for label in missing[: max(0, LEAST_LABELS.get(what, 0) - len(found))]:
            known = label if labels is None else next(labels)
            fields.append((known, next(self._images), True))
        return fields

    def _room(self, what: str, number: int) -> int:
        """How many of so many images to send, where no description says that others count too.

        Those that a session has already do when more are added. Too many stay too many.
        """
        if number > self._most_images or what not in ("adapt", "support"):
            return number
        return FEW if what == "support" else self._most_images // 2

    def _entry(self, entry: Any, labels: Iterator[str] | None) -> Any:
        """An image, or one with a label, which is the next of ``labels`` if there are any."""
        if isinstance(entry, str) and entry:
            return base64.b64encode(next(self._images)).decode()
        if not isinstance(entry, dict):
            return entry
        real = dict(entry)
        if "image" in real and isinstance(real["image"], str):
            real["image"] = self._entry(real["image"], None)
        if labels is not None and _is_label(real.get("label")):
            real["label"] = next(labels)
        return real

    def _image(self, item: object) -> bytes | str:
        """An image in the place of bytes; what are none stay as they are."""
        content = _text(item)
        return next(self._images) if isinstance(content, bytes) else content

    def _labels(self, session_id: object) -> Iterator[str]:
        """The labels of a session, again and again."""
        answer = self._http.get(f"/sessions/{quote(str(session_id), safe='')}")
        classes = answer.json()["classes"] if answer.is_success else []
        return itertools.cycle([entry["label"] for entry in classes] or LABELS)


def written(fields: Fields) -> bytes:
    """A form; names that programs write in several ways are written as name*."""
    parts = []
    for name, content, is_file in fields:
        unclear = re.search(r'["%\\\x00-\x1f\x7f-\x9f\ud800-\udfff]', name)
        as_name = f"name*=utf-8''{_quoted(name)}" if unclear else f'name="{name}"'
        head = f"Content-Disposition: form-data; {as_name}{'; filename=1.png' if is_file else ''}"
        encoded = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
        parts.append(f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + encoded + b"\r\n")
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def _quoted(name: str) -> str:
    return quote(name, safe="", errors="surrogatepass")


def is_made_up_id(value: object) -> bool:
    """Whether a value looks like an id and is none that was given out."""
    looks_like_one = isinstance(value, str) and re.fullmatch(PATTERN, value) is not None
    return looks_like_one and len(str(value)) != ID_LENGTH


def is_cursor(value: object) -> bool:
    """Whether a value looks like the `next` of a list."""
    return isinstance(value, str) and re.fullmatch(CURSOR_PATTERN, value) is not None


def _is_label(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= MAX_LABEL_LENGTH
        and re.fullmatch(str(LABEL_SCHEMA["pattern"]), value) is not None
    )


def _is_images(name: str, value: object) -> bool:
    return isinstance(value, list) and name not in TEXTS


def _set_apart(support: list[Any]) -> None:
    """Give a support set of one label another one: it has to have two."""
    labels = [entry.get("label") if isinstance(entry, dict) else None for entry in support]
    one_only = len({_plain(label) for label in labels if isinstance(label, str)}) == 1
    if len(support) > 1 and one_only and all(_is_label(label) for label in labels):
        support[0]["label"] = LABELS[labels[0] == LABELS[0]]


def _plain(label: str) -> str:
    """A label as the server compares it."""
    return unicodedata.normalize("NFC", label.strip()).strip()


def _text(value: object) -> bytes | str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    content = getattr(value, "data", value)
    return content if isinstance(content, bytes) else str(content)
