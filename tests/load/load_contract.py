"""Thousands of calls that are made from `/openapi.json`, and ones that it rules out."""

from __future__ import annotations

from pathlib import Path

from inkling.key_file import add_key

from ..api.contract import Contract
from .server import serving

AS_DESCRIBED, OTHERWISE = 600, 150
LEAST_CALLS, LEAST_TAKEN = 5000, 0.3


def test_thousands_of_calls_are_answered_as_described(
    tmp_path: Path, drawings: dict[str, list[bytes]]
) -> None:
    keys = tmp_path / "keys"
    key = add_key(keys, "one")
    images = [contents[0] for contents in drawings.values()]
    with serving(tmp_path, INITIALIZATIONS="omniglot", API_KEYS_FILE=keys) as running:
        contract = Contract(running.url, key, images)
        wrong = contract.run(AS_DESCRIBED, OTHERWISE, edges=True)
    for operation in contract.operations():
        counted = dict(contract.statuses[operation])
        print(f"\n{operation}: {contract.share_taken(operation):.0%} taken, {counted}")
    calls = sum(counted.total() for counted in contract.statuses.values())
    print(f"{calls} calls, {len(wrong)} wrong")
    assert not wrong, wrong[0]
    assert calls >= LEAST_CALLS
    assert min(map(contract.share_taken, contract.operations())) >= LEAST_TAKEN
