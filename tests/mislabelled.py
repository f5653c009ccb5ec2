"""Support sets in which one image is mislabelled, and whether the report names it."""

from __future__ import annotations

import random
from typing import Any

import httpx


def mislabelled_is_top_suspect(
    http: httpx.Client, drawings: dict[str, list[bytes]], seed: int, *, uneven: bool
) -> bool:
    """Adapt to five classes of five drawings (or two to seven), one drawing under a wrong label.

    Tells whether the report names that drawing before all others.
    """
    chooser = random.Random(seed)
    names = chooser.sample(sorted(drawings), 5)
    counts = [chooser.randint(2, 7) if uneven else 5 for _ in names]
    fields = [
        (name, content)
        for name, count in zip(names, counts, strict=True)
        for content in chooser.sample(drawings[name], count)
    ]
    position = chooser.randrange(len(fields))
    right, content = fields[position]
    wrong = chooser.choice([name for name in names if name != right])
    fields[position] = (wrong, content)
    files = [(label, ("drawing.png", image)) for label, image in fields]
    response = http.post("/adapt", files=files, data={"report": "true"})
    assert response.status_code == 201, response.text
    suspects: list[dict[str, Any]] = response.json()["report"]["suspects"]
    return bool(suspects) and suspects[0]["position"] == position
