"""Checks a running server from outside, over HTTP: `python3 docker/smoke.py [URL]`.

Needs nothing but Python's standard library and the sample images beside it in the source tree.
The first check that fails ends it, with what was expected and what came.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import struct
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, NoReturn

DEFAULT_URL = "http://127.0.0.1:8000"
SAMPLES = Path(__file__).resolve().parent.parent / "app" / "samples"
N_WAY, N_SHOT, N_QUERY = 5, 5, 10
LEAST_SHARE_RIGHT = 0.9
BIG_UPLOAD_BYTES = 5 * 2**20
READY_SECONDS = 120
CALL_SECONDS = 120
PROBLEM = "application/problem+json"

Field = tuple[str, bytes | str]
"""A form field: a file if it holds bytes, else a text."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters."""
        return self.headers.get_content_type()

    def json(self) -> Any:
        """The body as JSON; a body that is none fails the check."""
        try:
            return json.loads(self.body)
        except ValueError:
            fail("a JSON body", self)


def main(url: str) -> None:
    """Run all checks against the server at ``url``."""
    wait_until_ready(url)
    has_its_page(url)
    photographs, questions = samples("groceries", "*.jpg")
    predict(url, adapt(url, photographs), questions)
    support, queries = samples("omniglot", "*.png")
    session = adapt(url, support)
    predict(url, session, queries)

    padding = BIG_UPLOAD_BYTES // len(support) + 1
    big_session = adapt(url, [(label, padded(drawing, padding)) for label, drawing in support])
    predict(url, big_session, queries)

    refuses_what_is_no_image(url)
    for made in (session, big_session):
        delete(url, made)
    print("All checks passed.")


def samples(kind: str, pattern: str) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """Support and query images of some classes, with their labels."""
    support, queries = [], []
    for folder in sorted(path for path in (SAMPLES / kind).iterdir() if path.is_dir())[:N_WAY]:
        images = [path.read_bytes() for path in sorted(folder.glob(pattern))]
        support += [(folder.name, image) for image in images[:N_SHOT]]
        queries += [(folder.name, image) for image in images[N_SHOT : N_SHOT + N_QUERY]]
    return support, queries


def wait_until_ready(url: str) -> None:
    """Ask /readyz until it says yes, for a bounded time."""
    began = time.monotonic()
    last = "no answer"
    while time.monotonic() - began < READY_SECONDS:
        try:
            answer = call("GET", url, "/readyz")
        except (OSError, http.client.HTTPException) as unreachable:
            last = f"no answer to {unreachable}"
        else:
            if answer.status == 200:
                report("GET /readyz", f"200 after {time.monotonic() - began:.1f} s")
                return
            last = described(answer)
        time.sleep(0.5)
    fail(f"200 from {url}/readyz within {READY_SECONDS} s", last)


def adapt(url: str, support: Sequence[Field]) -> str:
    """Adapt to labelled drawings; gives the new session's id."""
    body, content_type = form(support)
    began = time.monotonic()
    answer = call("POST", url, "/adapt", body, content_type)
    seconds = time.monotonic() - began
    expect(201, answer)
    session_id: str = answer.json()["session_id"]
    counts = {entry["label"]: entry["images"] for entry in answer.json()["classes"]}
    expected = {label: N_SHOT for label, _ in support}
    if counts != expected:
        fail(f"the classes {expected}", counts)
    if answer.headers["Location"] != f"/sessions/{session_id}":
        fail(f"Location: /sessions/{session_id}", answer.headers["Location"])
    report(
        "POST /adapt",
        f"201, {len(support)} images of {len(counts)} classes, {len(body):,} bytes, "
        f"{seconds:.2f} s",
    )
    return session_id


def predict(url: str, session_id: str, queries: Sequence[tuple[str, bytes]]) -> None:
    """Classify drawings that the session has not seen; enough of them must come out right."""
    body, content_type = form(
        [("session_id", session_id), *(("image", drawing) for _, drawing in queries)]
    )
    answer = call("POST", url, "/predict", body, content_type)
    expect(200, answer)
    predicted = [prediction["label"] for prediction in answer.json()["predictions"]]
    if len(predicted) != len(queries):
        fail(f"{len(queries)} predictions", len(predicted))
    right = sum(guess == label for guess, (label, _) in zip(predicted, queries, strict=True))
    share = f"{right} of {len(queries)} right"
    if right < LEAST_SHARE_RIGHT * len(queries):
        fail(f"at least {LEAST_SHARE_RIGHT:.0%} right", share)
    report("POST /predict", f"200, {share}")


def has_its_page(url: str) -> None:
    """The page is there, with what it loads, which has to be in the package."""
    page = call("GET", url, "/")
    expect(200, page)
    loaded = re.findall(r'(?:href|src)="[^"]*(page/[^"]+)"', page.body.decode())
    if not loaded:
        fail("a page that loads its modules", page)
    for path in (*loaded, "page/samples.json"):
        expect(200, call("GET", url, f"/{path}"))
    report("GET /", f"200, with {len(loaded)} files")


def refuses_what_is_no_image(url: str) -> None:
    """A refusal is a problem document that names its type."""
    body, content_type = form([("circle", b"no image"), ("square", b"nor is this")])
    answer = call("POST", url, "/adapt", body, content_type)
    expect_problem(422, "/problems/invalid-input", answer)
    report("POST /adapt of no images", f"422 {PROBLEM}")


def delete(url: str, session_id: str) -> None:
    """Delete a session; it is unknown from then on."""
    expect(204, call("DELETE", url, f"/sessions/{session_id}"))
    gone = call("GET", url, f"/sessions/{session_id}")
    expect_problem(404, "/problems/session-not-found", gone)
    report("DELETE /sessions/...", "204, then 404")


def call(
    method: str, url: str, path: str, body: bytes | None = None, content_type: str | None = None
) -> Answer:
    """Make one call; refusals are answers like others."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    request = urllib.request.Request(url + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=CALL_SECONDS) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.headers, refused.read())
    except OSError as lost:
        raise ConnectionError(f"{method} {path}: {lost}") from lost


def form(fields: Sequence[Field]) -> tuple[bytes, str]:
    """A multipart body with its Content-Type; a file's field name is its label."""
    boundary = os.urandom(16).hex()
    parts = []
    for name, value in fields:
        disposition = f'Content-Disposition: form-data; name="{name}"'
        if isinstance(value, bytes):
            disposition += '; filename="drawing.png"\r\nContent-Type: image/png'
        content = value if isinstance(value, bytes) else value.encode()
        parts.append(f"--{boundary}\r\n{disposition}\r\n\r\n".encode() + content + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def padded(png: bytes, size: int) -> bytes:
    """The same picture with at least ``size`` bytes more: an incompressible text chunk."""
    text = b"Comment\0" + base64.b64encode(os.urandom(size * 3 // 4 + 3))
    checksum = zlib.crc32(b"tEXt" + text)
    chunk = struct.pack(">I", len(text)) + b"tEXt" + text + struct.pack(">I", checksum)
    end = 8 + 4 + 4 + 13 + 4  # the signature and the header chunk, which has to come first
    return png[:end] + chunk + png[end:]


def expect(status: int, answer: Answer) -> None:
    """The answer has this status, or the check fails."""
    if answer.status != status:
        fail(status, answer)


def expect_problem(status: int, kind: str, answer: Answer) -> None:
    """The answer is a problem document of this status and type, or the check fails."""
    expect(status, answer)
    if answer.media_type != PROBLEM:
        fail(PROBLEM, answer)
    problem = answer.json()
    if (problem.get("type"), problem.get("status")) != (kind, status):
        fail(f"a problem of type {kind} and status {status}", answer)


def report(what: str, outcome: str) -> None:
    """One line for a check that passed."""
    print(f"ok  {what}: {outcome}", flush=True)


def described(answer: Answer) -> str:
    """An answer in a line."""
    return f"{answer.status} {answer.media_type} {answer.body[:500].decode(errors='replace')}"


def fail(expected: object, got: object) -> NoReturn:
    """End with a non-zero status and what was expected and what came."""
    shown = described(got) if isinstance(got, Answer) else got
    sys.exit(f"FAILED: expected {expected}, got {shown}")


if __name__ == "__main__":
    if len(sys.argv) > 2 or sys.argv[1:] in (["-h"], ["--help"]):
        sys.exit(__doc__)
    try:
        main((sys.argv[1] if len(sys.argv) == 2 else DEFAULT_URL).rstrip("/"))
    except (OSError, http.client.HTTPException) as lost:
        fail("an answer", f"none to {lost}")
