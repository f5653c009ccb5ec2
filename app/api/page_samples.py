"""The sample images that the web page offers: two fixed sets of labelled examples and questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "samples"


@dataclass(frozen=True)
class SampleSet:
    """A set by its name in addresses: the folder of its classes, their labels, and their files."""

    name: str
    folder: str
    labels: dict[str, str]
    """Labels by the names of the classes' folders."""
    support: tuple[str, ...]
    """Of each class."""
    queries: tuple[str, ...]
    """Below the folder; the last is of none of the classes."""


PHOTOGRAPHS = SampleSet(
    "photographs",
    "groceries",
    {"lemon": "lemon", "garlic": "garlic", "avocado": "avocado"},
    ("01.jpg", "02.jpg", "03.jpg", "04.jpg", "05.jpg"),
    ("lemon/09.jpg", "garlic/09.jpg", "avocado/10.jpg", "pineapple/09.jpg"),
)
DRAWINGS = SampleSet(
    "drawings",
    "omniglot",
    {
        "Glagolitic_01": "Glagolitic",
        "Tibetan_01": "Tibetan",
        "Oriya_01": "Oriya",
        "Mongolian_01": "Mongolian",
    },
    ("01.png", "02.png", "03.png", "04.png", "05.png"),
    (
        "Glagolitic_01/09.png",
        "Tibetan_01/09.png",
        "Oriya_01/09.png",
        "Mongolian_01/09.png",
        "Keble_01/09.png",
    ),
)
SETS = (PHOTOGRAPHS, DRAWINGS)


def sample_files() -> dict[str, Path]:
    """The files of all sets, by their address below the samples: `groceries/lemon/01.jpg`."""
    return {
        f"{one.folder}/{file}": FOLDER / one.folder / file
        for one in SETS
        for file in (*one.queries, *(file for name in one.labels for file in _support(one, name)))
    }


def sample_list() -> dict[str, object]:
    """What the page is told of the sets: addresses of support images by label, and of queries."""
    return {
        one.name: {
            "classes": [
                {
                    "label": label,
                    "images": [f"{one.folder}/{file}" for file in _support(one, name)],
                }
                for name, label in one.labels.items()
            ],
            "queries": [f"{one.folder}/{file}" for file in one.queries],
        }
        for one in SETS
    }


def _support(one: SampleSet, name: str) -> list[str]:
    return [f"{name}/{file}" for file in one.support]
