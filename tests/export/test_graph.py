"""Where graphs are kept, and what is said of networks that ONNX cannot express."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.errors import NotExportable
from inkling.export import graph


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(graph, "_graphs", {})
    monkeypatch.setattr(graph, "kept_folder", lambda: tmp_path)
    return tmp_path


def test_a_graph_that_is_damaged_is_made_anew(
    checkpoint: Checkpoint, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[str] = []

    def trace(told: str, name: str, _initialization: str) -> bytes:
        traced.append(told)
        (folder / name).write_bytes(b"damaged")
        return b"a graph"

    monkeypatch.setattr(graph, "_traced", trace)
    for _ in range(2):
        assert graph.graph_of(checkpoint, has_views=True) == b"a graph"
        assert len(traced) == 1
    graph._graphs.clear()
    assert graph.graph_of(checkpoint, has_views=True) == b"a graph"
    assert len(traced) == 2


def test_what_cannot_be_traced_is_refused_with_the_reason(
    checkpoint: Checkpoint, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = graph.described

    def unknown(checkpoint: Checkpoint, *, has_views: bool) -> dict[str, Any]:
        return {**described(checkpoint, has_views=has_views), "network": {"name": "abacus"}}

    monkeypatch.setattr(graph, "described", unknown)
    with pytest.raises(NotExportable, match=r"expected a network among .* got 'abacus'"):
        graph.graph_of(checkpoint, has_views=True)
    assert not list(folder.iterdir())
