"""Golden examples: sample images with what a session says of them, kept in its ONNX file.

Whoever has the file can see by them whether a runtime, and a way to decode, give the same.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
SHOWN = {
    "photograph": ("groceries/lemon/05.jpg", "groceries/garlic/10.jpg"),
    "drawing": ("omniglot/Ge_ez_01/01.png", "omniglot/Tibetan_01/01.png"),
}
"""Sample files by the kind of picture."""


@dataclass(frozen=True)
class Golden:
    """A sample file and what a session says of it; ``none_of_these`` None where not calibrated."""

    name: str
    content: bytes
    probabilities: Sequence[float]
    none_of_these: float | None

    def told(self) -> dict[str, Any]:
        """The example as JSON has it."""
        return {
            "file": self.name,
            "content": base64.b64encode(self.content).decode(),
            "probabilities": list(self.probabilities),
            "none_of_these": self.none_of_these,
        }


def samples_of(picture: str) -> dict[str, bytes]:
    """The sample files for a kind of picture, by name."""
    return {name: (SAMPLES / name).read_bytes() for name in SHOWN[picture]}
