"""A client of an Inkling server; needs httpx and nothing of the server.

with Client("http://127.0.0.1:8000") as inkling:
session = inkling.adapt({"cat": ["1.png", "2.png"], "dog": ["3.png"]})
print(inkling.predict(session.session_id, ["4.png"])[0].label)
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from .errors import InvalidInput, Problem, RequestRefused, ServerUnreachable

Image = str | Path | bytes
"""A path to an image file, or its bytes."""


@dataclass(frozen=True)
class Adapted:
    """A new session; ``answer`` is all that the server said of it."""

    session_id: str
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

    ``none_of_these`` tells whether the image is likely of none of the session's classes; None
    where the initialization cannot tell.
    """

    label: str
    probability: float
    ranking: tuple[LabelProbability, ...]
    none_of_these: bool | None


class Client:
    """Calls one server. Every refusal is a RequestRefused with the server's reasons."""

    def __init__(self, base_url: str, timeout_seconds: float = 120) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=timeout_seconds, trust_env=False)

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
        self, support: Mapping[str, Image | Iterable[Image]], **options: str | float | None
    ) -> Adapted:
        """Make a session from images by label; options are those of `POST /adapt`.

        Raises InvalidInput for a label without images, RequestRefused for what the server says.
        """
        images = {label: _listed(given) for label, given in support.items()}
        if bare := [label for label, given in images.items() if not given]:
            problems = [Problem("no_images", "expected images, got none", name) for name in bare]
            raise InvalidInput(problems)
        body: dict[str, Any] = {
            "support": [
                {"label": label, "image": _encoded(image)}
                for label, given in images.items()
                for image in given
            ],
            **_given(options),
        }
        answer = self._call("POST", "/adapt", json=body).json()
        return Adapted(
            session_id=answer["session_id"],
            labels=tuple(entry["label"] for entry in answer["classes"]),
            support_accuracy=answer["support_accuracy"],
            answer=answer,
        )

    def predict(
        self, session_id: str, images: Image | Iterable[Image], top_k: int | None = None
    ) -> list[Prediction]:
        """Classify images with a session's adapted model, in their order."""
        body: dict[str, Any] = {
            "session_id": session_id,
            "images": [_encoded(image) for image in _listed(images)],
            **_given({"top_k": top_k}),
        }
        answer = self._call("POST", "/predict", json=body).json()
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
        answer: Mapping[str, Any] = self._call(
            "GET", f"/sessions/{quote(session_id, safe='')}"
        ).json()
        return answer

    def forget(self, session_id: str) -> None:
        """Delete a session."""
        self._call("DELETE", f"/sessions/{quote(session_id, safe='')}")

    def initializations(self) -> list[Mapping[str, Any]]:
        """What the server has loaded."""
        answer: list[Mapping[str, Any]]
        answer = self._call("GET", "/initializations").json()["initializations"]
        return answer

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


def _listed(images: Image | Iterable[Image]) -> list[Image]:
    return [images] if isinstance(images, str | Path | bytes) else list(images)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _encoded(image: Image) -> str:
    content = image if isinstance(image, bytes) else Path(image).read_bytes()
    return base64.b64encode(content).decode()
