"""Clients that send one HTTP/1.1 request again and again, in a process of their own.

The first line of the standard input holds a `Crowd` as JSON; at its end the clients stop, and the
standard output gets the number of answers by status.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Crowd:
    """So many clients, each of which sends the next request when it has its answer."""

    host: str
    port: int
    request: bytes
    clients: int


@contextlib.contextmanager
def crowding(crowd: Crowd) -> Iterator[Counter[str]]:
    """Have a crowd send while this runs; afterwards its answers are counted by status."""
    told = {**asdict(crowd), "request": base64.b64encode(crowd.request).decode()}
    answers: Counter[str] = Counter()
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as running:
        assert running.stdin is not None
        running.stdin.write(json.dumps(told) + "\n")
        running.stdin.flush()
        try:
            yield answers
        finally:
            counted, _ = running.communicate()
            answers.update(json.loads(counted))


async def _client(crowd: Crowd, answers: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection(crowd.host, crowd.port)
    while True:
        writer.write(crowd.request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
        answers[head[9:12].decode()] += 1
        if b"connection: close" in head:
            writer.close()
            reader, writer = await asyncio.open_connection(crowd.host, crowd.port)


async def _run(crowd: Crowd) -> Counter[str]:
    answers: Counter[str] = Counter()
    clients = [asyncio.create_task(_client(crowd, answers)) for _ in range(crowd.clients)]
    await asyncio.to_thread(sys.stdin.read)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return answers


def main() -> None:
    told = json.loads(sys.stdin.readline())
    told["request"] = base64.b64decode(told["request"])
    json.dump(asyncio.run(_run(Crowd(**told))), sys.stdout)


if __name__ == "__main__":
    main()
