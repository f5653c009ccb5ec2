"""Thousands of calls that are made from the server's description: what it promises, it does.

Besides calls of every operation these are conversations, in which what one call answers is what
the next one asks for, and calls at each bound and by each method that is not there.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ..api.contract import BOTH_WAYS, IN_ORDER, Contract, served

CALLS = 2500
AT_BOUNDS, EXAMPLES = 60, 100
LEAST_SHARE = 0.3


@pytest.mark.parametrize("initialization", ["omniglot", "photos"])
def test_server_and_description_agree(
    tmp_path: Path,
    initialization: str,
    drawings: dict[str, list[bytes]],
    photographs: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = {"omniglot": [each[0] for each in drawings.values()], "photos": photographs}
    began = time.perf_counter()
    with served(tmp_path, initialization, monkeypatch) as url:
        contract = Contract(url, images[initialization])
        wrong = contract.run(AT_BOUNDS, BOTH_WAYS, at_bounds=True)
        phases = dict(contract.phases)
        while contract.n_calls() < CALLS and not wrong:
            wrong += contract.run(EXAMPLES, IN_ORDER)
    shares = contract.shares_taken()
    print(f"\n{contract.n_calls():,} calls in {time.perf_counter() - began:.0f} s, {phases}")
    for operation, share in shares.items():
        print(f"{100 * share:3.0f} % of {contract.statuses[operation].total():5,} {operation}")
    for told in wrong:
        print(told)
    assert not wrong
    assert phases["stateful"] == phases["coverage"] == "success"
    assert contract.n_calls() >= CALLS
    assert min(shares.values()) >= LEAST_SHARE
