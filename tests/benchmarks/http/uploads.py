"""What the load generator sends: real drawings as raw multipart requests, in each server's form."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from inkling.cli.demo import SAMPLES

from .processes import HOST

BOUNDARY = "inkling-benchmark-7f3c1a5e"
N_WAY = 5


@dataclass(frozen=True)
class File:
    """A file field of a form."""

    field: str
    name: str
    content: bytes


@dataclass(frozen=True)
class Task:
    """A 5-way 1-shot support set, its PNG images by label, and one image to classify."""

    support: Mapping[str, bytes]
    query: bytes


def draw_tasks(number: int) -> list[Task]:
    """The first tasks out of the sample drawings, always the same ones."""
    chooser = random.Random(0)
    characters = sorted(folder for folder in SAMPLES["drawings"].iterdir() if folder.is_dir())
    return [_draw_task(chooser, characters) for _ in range(number)]


def _draw_task(chooser: random.Random, characters: Sequence[Path]) -> Task:
    chosen = chooser.sample(characters, N_WAY)
    picked = {folder.name: chooser.sample(sorted(folder.glob("*.png")), 2) for folder in chosen}
    support = {label: drawings[0].read_bytes() for label, drawings in picked.items()}
    return Task(support, picked[chooser.choice(sorted(picked))][1].read_bytes())


def raw_request(path: str, texts: Mapping[str, str], files: Sequence[File]) -> bytes:
    """A POST of a multipart form as it goes over the wire."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in texts.items()
    ]
    for file in files:
        head = (
            f"--{BOUNDARY}\r\n"
            f'Content-Disposition: form-data; name="{file.field}"; filename="{file.name}"\r\n'
            "Content-Type: image/png\r\n\r\n"
        )
        parts.append(head.encode() + file.content + b"\r\n")
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Dialect(Protocol):
    """How one server wants to be asked, and answers."""

    def adapt(self, task: Task) -> bytes:
        """The request that makes a session of a task's support set."""
        ...

    def predict(self, session_id: str, image: bytes) -> bytes:
        """The request that classifies one image with a session."""
        ...

    def probabilities(self, answer: bytes) -> dict[str, float]:
        """The probabilities in an answer to a prediction, by label."""
        ...


class InklingDialect:
    """The name of a form's field is the label of its image."""

    def adapt(self, task: Task) -> bytes:
        files = [File(label, "drawing.png", image) for label, image in task.support.items()]
        return raw_request("/adapt", {}, files)

    def predict(self, session_id: str, image: bytes) -> bytes:
        return raw_request(
            "/predict", {"session_id": session_id}, [File("image", "drawing.png", image)]
        )

    def probabilities(self, answer: bytes) -> dict[str, float]:
        (prediction,) = json.loads(answer)["predictions"]
        return {entry["label"]: entry["probability"] for entry in prediction["probabilities"]}


@dataclass(frozen=True)
class PlainDialect:
    """The name of a file is the label of its image: a form with no part that is not needed."""

    adapt_path: str = "/adapt"
    predict_path: str = "/predict"

    def adapt(self, task: Task) -> bytes:
        files = [File("images", label, image) for label, image in task.support.items()]
        return raw_request(self.adapt_path, {}, files)

    def predict(self, session_id: str, image: bytes) -> bytes:
        return raw_request(
            self.predict_path, {"session_id": session_id}, [File("image", "drawing.png", image)]
        )

    def probabilities(self, answer: bytes) -> dict[str, float]:
        found: dict[str, float] = json.loads(answer)["probabilities"]
        return found
