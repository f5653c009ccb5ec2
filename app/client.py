"""A client of an Inkling server; needs httpx and nothing of the server.

>>> with Client("http://127.0.0.1:8000") as inkling:
...     session = inkling.adapt({"cat": ["1.png", "2.png"], "dog": ["3.png"]})
...     print(inkling.predict(session.session_id, ["4.png"])[0].label)
cat
"""

from __future__ import annotations

import base64
import os
import secrets
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from .errors import InvalidInput, Problem, RequestRefused, ServerUnreachable
from .files.left_out import FilesLeftOut
from .given_images import Image, file_bytes, images_of
from .support_files import read_images, read_support

KEY_BYTES = 24

Support = str | os.PathLike[str] | Mapping[str, Image | Iterable[Image]]
"""Images by label, or a folder or zip archive with a folder for each class. With images by label,
the path of a folder stands for the images in it."""


@dataclass(frozen=True)
class AdaptedSession:
    """A session that was made or grew; ``answer`` is all that the server said of it.

    ``initialization`` is the name of the one that it adapts from; why it was chosen, where the
    images decided, is the answer's ``choice``.
    """

    session_id: str
    initialization: str
    labels: tuple[str, ...]
    support_accuracy: float
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class LabelProbability:
    """A label with its probability in 0..1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image; ``ranking`` has the most probable label first.

    ``none_of_these`` tells whether the image probably belongs to none of the session's classes;
    None where the initialization cannot tell.
    """

    label: str
    probability: float
    ranking: tuple[LabelProbability, ...]
    none_of_these: bool | None


class Client:
    """Calls one server. Every refusal is a RequestRefused with the server's reasons."""

    def __init__(
        self, base_url: str, timeout_seconds: float = 120, api_key: str | None = None
    ) -> None:
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.Client(
            base_url=base_url, timeout=timeout_seconds, trust_env=False, headers=headers
        )

    def __enter__(self) -> Client:
        """Use the client as a context that closes its connections."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def adapt(
        self,
        support: Support,
        *,
        idempotency_key: str | None = None,
        **options: str | float | bool | None,
    ) -> AdaptedSession:
        """Make a session from images by label; options are those of `POST /adapt`.

        A call whose answer is lost is sent once more under the same key (one of its own unless
        ``idempotency_key`` is given), so that it makes one session.

        Files of a folder or archive that are left out are told by a warning, FilesLeftOut.

        Raises InvalidInput for a label without images, BadData for a folder or archive that is no
        support set, TypeError for what is no image, RequestRefused for what the server says.
        """
        body = {"support": _labelled(support), **_given(options)}
        return _adapted(self._repeatable("/adapt", body, idempotency_key))

    def add_support(
        self,
        session_id: str,
        support: Support,
        *,
        idempotency_key: str | None = None,
        **options: str | float | bool | None,
    ) -> AdaptedSession:
        """Add images, of new labels too, to a session; it adapts again to all it has.

        Options are those of `POST /sessions/{id}/support`; raises as `adapt` does.
        """
        body = {"support": _labelled(support), **_given(options)}
        return _adapted(self._repeatable(f"{_path(session_id)}/support", body, idempotency_key))

    def evaluate(self, session_id: str, queries: Support) -> Mapping[str, Any]:
        """Measure a session on images whose labels are known."""
        body = {"queries": _labelled(queries)}
        answer: Mapping[str, Any] = self._json("POST", f"{_path(session_id)}/evaluate", json=body)
        return answer

    def predict(
        self, session_id: str, images: Image | Iterable[Image], top_k: int | None = None
    ) -> list[Prediction]:
        """Classify images with a session's adapted model, in their order.

        Raises TypeError for what is no image, BadData for a folder, RequestRefused for what the
        server says.
        """
        body: dict[str, Any] = {
            "session_id": session_id,
            "images": [_encoded(file_bytes(image)) for image in images_of(images)],
            **_given({"top_k": top_k}),
        }
        answer = self._json("POST", "/predict", json=body)
        return [
            Prediction(
                label=prediction["label"],
                probability=prediction["probability"],
                ranking=tuple(
                    LabelProbability(entry["label"], entry["probability"])
                    for entry in prediction["probabilities"]
                ),
                none_of_these=(prediction["none_of_these"] or {}).get("likely"),
            )
            for prediction in answer["predictions"]
        ]

    def session(self, session_id: str) -> Mapping[str, Any]:
        """What the server knows of a session."""
        answer: Mapping[str, Any] = self._json("GET", _path(session_id))
        return answer

    def sessions(self) -> Iterator[Mapping[str, Any]]:
        """What the server knows of each of the caller's sessions, the newest first."""
        after: str | None = None
        while True:
            page = self._json("GET", "/sessions", params=_given({"after": after}))
            yield from page["sessions"]
            after = page["next"]
            if after is None:
                return

    def forget(self, session_id: str) -> None:
        """Delete a session."""
        self._call("DELETE", _path(session_id))

    def initializations(self) -> list[Mapping[str, Any]]:
        """What the server has loaded."""
        answer: list[Mapping[str, Any]] = self._json("GET", "/initializations")["initializations"]
        return answer

    def _repeatable(self, path: str, body: Mapping[str, Any], key: str | None) -> Any:
        """The answer to a POST that may be sent twice."""
        headers = {"Idempotency-Key": secrets.token_urlsafe(KEY_BYTES) if key is None else key}
        try:
            return self._json("POST", path, json=body, headers=headers)
        except ServerUnreachable as lost:
            # After a time-out the first call may still run.
            if isinstance(lost.__cause__, httpx.TimeoutException):
                raise
            return self._json("POST", path, json=body, headers=headers)

    def _json(self, method: str, path: str, **content: Any) -> Any:
        return self._call(method, path, **content).json()

    def _call(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **content)
        except httpx.TransportError as broken:
            raise ServerUnreachable(f"{self._http.base_url}: {broken}") from broken
        if response.is_success:
            return response
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            raise RequestRefused(response.status_code, response.json())
        raise RequestRefused(response.status_code, {"detail": response.text[:200]})


def _path(session_id: str) -> str:
    return f"/sessions/{quote(session_id, safe='')}"


def _adapted(answer: Mapping[str, Any]) -> AdaptedSession:
    return AdaptedSession(
        session_id=answer["session_id"],
        initialization=answer["initialization"]["name"],
        labels=tuple(entry["label"] for entry in answer["classes"]),
        support_accuracy=answer["support_accuracy"],
        answer=answer,
    )


def _labelled(support: Support) -> list[dict[str, str]]:
    """Labelled images as the API takes them. Raises InvalidInput for a label without images."""
    contents, told = _contents(support)
    for sentence in told:
        # At the line that calls the client's public method.
        warnings.warn(sentence, FilesLeftOut, stacklevel=3)
    if without := [label for label, images in contents.items() if not images]:
        raise InvalidInput(
            [Problem("no_images", "expected images, got none", label) for label in without]
        )
    return [
        {"label": label, "image": _encoded(image)}
        for label, images in contents.items()
        for image in images
    ]


def _contents(support: Support) -> tuple[dict[str, list[bytes]], list[str]]:
    """Bytes of images by label, and what is told of files that were left out."""
    if isinstance(support, str | os.PathLike):
        contents, told = read_support(Path(support))
        return contents, [] if told is None else [told]
    if not isinstance(support, Mapping):
        raise TypeError(
            "expected images by label, as in {'cat': ['1.png']}, or the path of a folder or zip "
            f"archive with a folder for each class; got {type(support).__name__}"
        )
    contents, sentences = {}, []
    for label, given in support.items():
        if not isinstance(label, str):
            raise TypeError(f"expected labels of text, got {label!r}")
        contents[label] = []
        for image in images_of(given):
            read, told = _of_one(image)
            contents[label] += read
            sentences += [] if told is None else [told]
    return contents, sentences


def _of_one(image: Image) -> tuple[list[bytes], str | None]:
    """The bytes of an image, or of all in a folder."""
    if isinstance(image, str | os.PathLike) and Path(image).is_dir():
        return read_images(Path(image))
    return [file_bytes(image)], None


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
