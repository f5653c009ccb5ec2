"""How long a server's sign of life takes, asked for in a process of its own until told to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REQUEST = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PAUSE_SECONDS = 0.02


@contextlib.contextmanager
def probing(host: str, port: int) -> Iterator[list[float]]:
    """Have /livez asked for while this runs; afterwards the list has the milliseconds of each."""
    spent: list[float] = []
    with subprocess.Popen(
        [sys.executable, "-m", __name__, host, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "asking\n"
        try:
            yield spent
        finally:
            told, _ = running.communicate()
            spent += json.loads(told)


async def _run(host: str, port: int) -> list[float]:
    reader, writer = await asyncio.open_connection(host, port)
    spent: list[float] = []
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    while not ended.done():
        began = time.perf_counter()
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
        spent.append(1000 * (time.perf_counter() - began))
        if len(spent) == 1:
            print("asking", flush=True)
        await asyncio.sleep(PAUSE_SECONDS)
    return spent


def main() -> None:
    host, port = sys.argv[1:]
    print(json.dumps(asyncio.run(_run(host, int(port)))))


if __name__ == "__main__":
    main()
