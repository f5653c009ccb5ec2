"""What is read of an image file before any of its pixels is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BadImage

MAX_PROFILE_BYTES = 4 << 20
"""Of a colour profile; an image with a larger one is taken without it."""


@dataclass(frozen=True)
class Encoded:
    """An image file of a known ``kind`` (PNG, JPEG, WEBP, GIF or BMP), as its header tells.

    ``content`` is a file of that kind with all that its pixels depend on, without what may be large
    or wrong in it and is not read. ``width`` and ``height`` are in pixels, as they are stored;
    ``orientation`` is EXIF's, 1 to 8. A pixel takes ``stored_bytes`` once it is decoded, and
    ``working_bytes`` beside them while the image is. ``one_scan`` tells of a JPEG that it is
    decoded row by row, and ``ends`` that the file has its end.
    """

    kind: str
    content: bytes
    width: int
    height: int
    stored_bytes: int
    working_bytes: float = 0.0
    profile: bytes | None = None
    orientation: int = 1
    one_scan: bool = False
    ends: bool = True

    @property
    def n_pixels(self) -> int:
        """All of its pixels."""
        return self.width * self.height


def damaged(kind: str, what: str) -> BadImage:
    """The refusal of a file that is not sound."""
    return BadImage("damaged", f"the {kind} is damaged: {what}")


def cut_off(kind: str) -> BadImage:
    """The refusal of a file that ends too early."""
    return BadImage("damaged", f"the {kind} is cut off: it ends before all of its pixels came")


def too_complex(kind: str, expected: str, received: str) -> BadImage:
    """The refusal of a file that takes too long to decode."""
    return BadImage("too_complex", f"the {kind} takes too long to decode: {expected}, {received}")
