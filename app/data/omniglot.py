"""Omniglot (Lake, Salakhutdinov and Tenenbaum, Science 2015): 20 drawings of each character.

30 background alphabets (964 characters) to learn from, 20 evaluation alphabets (659) to be
tested on. Read from the official archives, from their unpacked folders, or from what
torchvision downloaded.

Many papers report on another division, over the characters of all 50 alphabets together: 1,028
to learn from, 172 to choose by, 423 to be tested on (Vinyals et al., NeurIPS 2016, in the lists
that Prototypical Networks, Snell et al., NeurIPS 2017, published; a character turned by 90, 180
or 270 degrees is another class). It is easier: every split has characters of the same alphabets.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from ..errors import BadData
from ..files.images import opened
from ..files.kinds import is_image
from ..files.tree import Tree
from .sources import EncodedClass, Split, grouped

Part = Literal["background", "evaluation"]
VINYALS = Path(__file__).parent / "vinyals"
N_CHARACTERS: dict[Part, int] = {"background": 964, "evaluation": 659}
N_DRAWINGS = 20


def read(path: Path, part: Part) -> Iterator[EncodedClass]:
    """Yield the characters of one part as classes named `Alphabet/characterNN`.

    ``path`` is a folder with `images_background` and `images_evaluation` in it, as folders or
    as zip archives (whose names may have something in front). Raises BadData when there is
    neither, or when characters or drawings are missing.
    """
    root = _find(path, part)
    strip = 0 if root.is_dir() else 1
    n_characters = 0
    with opened(root) as tree:
        for character in grouped(_drawings(tree), strip):
            if len(character.files) != N_DRAWINGS:
                raise BadData(
                    f"{root}: expected {N_DRAWINGS} drawings of {character.name}, "
                    f"got {len(character.files)}"
                )
            n_characters += 1
            yield character
    if n_characters != N_CHARACTERS[part]:
        raise BadData(f"{root}: expected {N_CHARACTERS[part]} characters, got {n_characters}")


def read_vinyals(path: Path, split: Split) -> Iterator[EncodedClass]:
    """Yield the characters of one split of Vinyals' division, unrotated; see `read`."""
    split_of: dict[str, str] = {}
    for held_out in ("validation", "test"):
        names = (VINYALS / f"{held_out}.txt").read_text().splitlines()
        split_of |= dict.fromkeys(names, held_out)
    for part in N_CHARACTERS:
        for character in read(path, part):
            if split_of.get(character.name, "train") == split:
                yield character


def download(path: Path) -> Path:
    """Let torchvision fetch both archives into ``path`` and return the folder to `read` from."""
    from torchvision.datasets import Omniglot

    for background in (True, False):
        Omniglot(str(path), background=background, download=True)
    return path / str(Omniglot.folder)


def _drawings(tree: Tree) -> Iterator[tuple[PurePosixPath, bytes]]:
    """All images of a part: as their number is known, what is left out need not be told."""
    for file in tree.files:
        if not file.hidden and is_image(content := file.content()):
            yield file.path, content


def _find(path: Path, part: Part) -> Path:
    name = f"images_{part}"
    folders = [path / name, path / "omniglot-py" / name]
    archives = sorted(path.glob(f"*{name}.zip"))
    for candidate in [*folders, *archives]:
        if candidate.exists():
            return candidate
    raise BadData(f"expected a folder {name} or an archive {name}.zip in {path}, found neither")
