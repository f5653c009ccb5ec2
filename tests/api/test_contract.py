"""The server does what its description promises, and refuses what that does not allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from .contract import BOTH_WAYS, Contract, served
from .test_conversation import Drawings

EXAMPLES = 11


def test_server_and_description_agree(
    tmp_path: Path, drawings: Drawings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path, "omniglot", monkeypatch) as url:
        contract = Contract(url, [images[0] for images in drawings.values()])
        assert not contract.run(EXAMPLES, BOTH_WAYS)
    assert contract.phases["stateful"] == "success"
    assert contract.n_calls() >= 150
    shares = contract.shares_taken()
    assert len(shares) >= 12
    assert min(shares.values()) >= 0.3, shares
