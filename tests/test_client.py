from __future__ import annotations

import doctest
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from inkling import Client, RequestRefused, ServerUnreachable, client


@pytest.fixture
def inkling(server: str) -> Iterator[Client]:
    with Client(server) as connected:
        yield connected


def test_a_folder_per_class_becomes_a_session(
    inkling: Client, samples: Path, tmp_path: Path
) -> None:
    for label, name in (("tengwar", "Tengwar_01"), ("tibetan", "Tibetan_01")):
        (tmp_path / label).mkdir()
        for number in (1, 2):
            image = (samples / name / f"{number:02}.png").read_bytes()
            (tmp_path / label / f"{number}.png").write_bytes(image)
    made = inkling.adapt(tmp_path, report=True)
    assert made.labels == ("tengwar", "tibetan")
    assert made.answer["report"]["n_checked"] == 4
    grown = inkling.add_support(made.session_id, {"keble": samples / "Keble_01/01.png"})
    assert grown.labels == ("keble", "tengwar", "tibetan")
    measured = inkling.evaluate(made.session_id, {"tibetan": [samples / "Tibetan_01/09.png"]})
    assert measured["n_images"] == 1
    assert made.session_id in {entry["session_id"] for entry in inkling.sessions()}
    inkling.forget(made.session_id)
    with pytest.raises(RequestRefused, match="404"):
        inkling.add_support(made.session_id, {"keble": samples / "Keble_01/01.png"})


def test_the_example_of_the_docstring_runs(
    server: str, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawings = ("Tengwar_01/01", "Tengwar_01/02", "Tibetan_01/01", "Tengwar_01/07")
    for number, drawing in enumerate(drawings, start=1):
        (tmp_path / f"{number}.png").write_bytes((samples / f"{drawing}.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    text = (client.__doc__ or "").replace("http://127.0.0.1:8000", server)
    example = doctest.DocTestParser().get_doctest(text, vars(client), "client", None, None)
    assert example.examples
    told: list[str] = []
    assert doctest.DocTestRunner().run(example, out=told.append).failed == 0, told


class LosesAnswers:
    """Passes connections on to a server and hangs up on the first ``count`` answers."""

    def __init__(self, server: str, count: int) -> None:
        host, port = server.removeprefix("http://").split(":")
        self._server, self._left = (host, int(port)), count
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            upstream = socket.create_connection(self._server)
            threading.Thread(target=self._pass_on, args=(caller, upstream), daemon=True).start()
            threading.Thread(target=self._answer, args=(caller, upstream), daemon=True).start()

    def _pass_on(self, client: socket.socket, upstream: socket.socket) -> None:
        while content := _received(client):
            upstream.sendall(content)

    def _answer(self, client: socket.socket, upstream: socket.socket) -> None:
        while content := _received(upstream):
            if self._left:
                self._left -= 1
                for each in (client, upstream):
                    each.shutdown(socket.SHUT_RDWR)
                break
            client.sendall(content)
        client.close()
        upstream.close()


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(65_536)
    except OSError:
        return b""


def test_a_lost_answer_is_asked_for_again_and_makes_one_session(
    server: str, inkling: Client, samples: Path
) -> None:
    support = {"a": samples / "Keble_01/01.png", "b": samples / "Tibetan_01/01.png"}
    before = {entry["session_id"] for entry in inkling.sessions()}
    proxy = LosesAnswers(server, 1)
    with Client(proxy.url) as lossy:
        made = lossy.adapt(support)
    proxy.close()
    after = {entry["session_id"] for entry in inkling.sessions()}
    assert after - before == {made.session_id}


def test_an_answer_lost_twice_is_told(server: str, samples: Path) -> None:
    proxy = LosesAnswers(server, 2)
    with Client(proxy.url) as lossy, pytest.raises(ServerUnreachable):
        lossy.adapt({"a": samples / "Keble_01/01.png", "b": samples / "Tibetan_01/01.png"})
    proxy.close()
