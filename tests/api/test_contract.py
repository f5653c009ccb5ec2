"""The server does what `/openapi.json` says of it."""

from __future__ import annotations

from pathlib import Path

from inkling.cli.local_server import local_server
from inkling.key_file import add_key
from inkling.main import create_app
from inkling.settings import Settings

from .contract import Contract

AS_DESCRIBED, OTHERWISE = 5, 2


def test_calls_made_from_the_description_are_answered_as_it_says(
    tmp_path: Path, drawings: dict[str, list[bytes]]
) -> None:
    keys = tmp_path / "keys"
    key = add_key(keys, "one")
    settings = Settings(
        api_keys_file=keys, session_store="memory", initializations=("omniglot",), workers=1
    )
    images = [contents[0] for contents in drawings.values()]
    with local_server(create_app(settings)) as url:
        contract = Contract(url, key, images)
        wrong = contract.run(AS_DESCRIBED, OTHERWISE, edges=False)
    assert not wrong, wrong[0]
    assert sum(counted.total() for counted in contract.statuses.values()) >= 100
    assert min(map(contract.share_taken, contract.operations())) > 0
