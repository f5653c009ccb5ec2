"""Two hundred support sets with one wrong label each: the report has to name it first.

With OMNIGLOT=PATH (a folder with Omniglot's archives) on all evaluation alphabets, else on the
sample drawings.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from inkling.data import omniglot

from ..mislabelled import mislabelled_is_top_suspect
from .server import serving

TRIALS, CLIENTS = 200, 2


@pytest.mark.parametrize("uneven", [False, True])
def test_the_mislabelled_image_is_the_top_suspect_in_nine_of_ten(
    tmp_path: Path, drawings: dict[str, list[bytes]], uneven: bool
) -> None:
    path = os.environ.get("OMNIGLOT")
    if path:
        characters = omniglot.read(Path(path), "evaluation")
        drawings = {entry.name: [image for _, image in entry.files] for entry in characters}
    with serving(tmp_path) as server:

        def trial(seed: int) -> bool:
            with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as http:
                return mislabelled_is_top_suspect(http, drawings, seed, uneven=uneven)

        with ThreadPoolExecutor(CLIENTS) as pool:
            found = list(pool.map(trial, range(TRIALS)))
    print(
        f"\n{sum(found)} of {TRIALS} mislabelled images are the top suspect "
        f"({'2 to 7' if uneven else '5'} images of 5 of {len(drawings)} classes)"
    )
    assert sum(found) >= 0.9 * TRIALS
