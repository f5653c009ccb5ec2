"""Copies in support sets: how far they move a report, and whether they, and they alone, are told.

With OMNIGLOT=PATH (a folder with Omniglot's archives) on its evaluation alphabets, else on the
sample drawings; with PHOTOGRAPHS=PATH (a folder with a test split of domains) on its photographs,
else on the sample groceries.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
import torch
from inkling.cli.demo import SAMPLES
from inkling.data import domains, folders, omniglot
from inkling.data.sources import EncodedClass
from inkling.images.decode import decode
from inkling.images.fingerprints import fingerprints
from inkling.service.copies import pictures_of

from ..copied import COPIES
from .server import serving

WAYS, FEWEST, MOST = 5, 5, 20
REPORTS, WITHOUT_COPIES = 50, 1000
COPIED, ACROSS = 5, 1
"""Images of a support set that are sent a second time, and how many of them under a wrong label."""
MOVED, TOLD, WARNED = 0.02, 0.98, 0.01
SIDE = 256
"""Pixels of use of a photograph."""
Fields = list[tuple[str, bytes]]
Groups = dict[str, dict[str, list[bytes]]]
"""The images of classes, by groups that support sets are drawn from."""


Kind = Literal["drawings", "photographs"]
EACH_KIND = pytest.mark.parametrize("kind", ["drawings", "photographs"])


def read(kind: Kind) -> Groups:
    path = os.environ.get({"drawings": "OMNIGLOT", "photographs": "PHOTOGRAPHS"}[kind])
    classes: Iterator[EncodedClass]
    if path is None:
        classes = folders.read_all(SAMPLES[kind])
    elif kind == "drawings":
        classes = omniglot.read(Path(path), "evaluation")
    else:
        classes = domains.read(Path(path), "test")
    groups: Groups = {}
    for entry in classes:
        # Characters of all alphabets, photographs of one domain.
        group = entry.group if kind == "photographs" else ""
        once = {hashlib.sha256(content).digest(): content for _, content in entry.files}
        groups.setdefault(group, {})[entry.name] = list(once.values())
    return groups


def drawn(groups: Groups, chooser: random.Random) -> Fields:
    """A support set of five classes (or as many as a group has) of 5 to 20 images."""
    classes = groups[chooser.choice(sorted(groups))]
    shots = chooser.randint(FEWEST, MOST)
    return [
        (name, content)
        for name in chooser.sample(sorted(classes), min(WAYS, len(classes)))
        for content in chooser.sample(classes[name], min(shots, len(classes[name])))
    ]


def copied(fields: Fields, chooser: random.Random) -> Fields:
    """Copies of some images, of any kind, most under the same label."""
    copies = [
        (label, chooser.choice([*COPIES.values()])(content))
        for label, content in chooser.sample(fields, COPIED)
    ]
    for place, (label, content) in enumerate(copies[:ACROSS]):
        others = sorted({other for other, _ in fields} - {label})
        copies[place] = (chooser.choice(others), content)
    return copies


def reported(http: httpx.Client, fields: Fields) -> tuple[float, int]:
    """The accuracy of a report, and of how many copied pictures it warns."""
    files = [(label, ("image", content)) for label, content in fields]
    answer = http.post("/adapt", files=files, data={"report": "true"})
    assert answer.status_code == 201, answer.text
    told = answer.json()
    codes = ("copied_image", "same_image")
    of_copies = [w["message"] for w in told["warnings"] if w["code"] in codes]
    return float(told["report"]["accuracy"]), sum(message.count("])") for message in of_copies)


@EACH_KIND
def test_copies_hardly_move_a_report_and_are_told(tmp_path: Path, kind: Kind) -> None:
    groups, chooser = read(kind), random.Random(1)
    moved, told = list[float](), 0
    with (
        serving(tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=120, trust_env=False) as http,
    ):
        for _ in range(REPORTS):
            fields = drawn(groups, chooser)
            before, _ = reported(http, fields)
            accuracy, number = reported(http, fields + copied(fields, chooser))
            moved.append(accuracy - before)
            told += number
    mean, size = sum(moved) / REPORTS, sum(map(abs, moved)) / REPORTS
    print(
        f"\n{kind}: {COPIED} copies move the accuracy of {REPORTS} reports by {mean:+.4f} in the "
        f"mean, by {size:.4f} in size; {told} of {COPIED * REPORTS} copies are told of"
    )
    assert size <= MOVED
    assert told >= TOLD * COPIED * REPORTS


@EACH_KIND
def test_support_sets_without_copies_are_not_warned_about(kind: Kind) -> None:
    groups, chooser = read(kind), random.Random(2)
    taken = {
        content: fingerprints([decode(content, SIDE if kind == "photographs" else None)])[0]
        for classes in groups.values()
        for contents in classes.values()
        for content in contents
    }
    warned = 0
    for _ in range(WITHOUT_COPIES):
        fields = drawn(groups, chooser)
        own = torch.stack([taken[content] for _, content in fields])
        pictures = pictures_of(own, torch.arange(len(own)))
        warned += len(pictures) < len(own)
    print(f"\n{kind}: {warned} of {WITHOUT_COPIES} support sets without copies are warned about")
    assert warned <= WARNED * WITHOUT_COPIES
