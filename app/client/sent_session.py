"""What a session object knows, whichever way its client waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

from ..errors import BadData
from .calls import Adapted
from .results import Adaptation, Report, SessionInfo

ExportFormat = Literal["onnx", "safetensors"]
FORMATS: tuple[ExportFormat, ...] = ("onnx", "safetensors")


class KnownSession:
    """A session by what the last call that changed it answered.

    ``sources`` names the images of its support set in the order of their positions, None for an
    image without a path; it is None itself where somebody else may have changed the session.
    """

    def __init__(self, info: SessionInfo, sources: tuple[str | None, ...] | None = None) -> None:
        self.info, self.sources = info, sources

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_id!r}, {', '.join(self.labels)})"

    @property
    def session_id(self) -> str:
        """Whoever has it has the session, where a server asks for no keys."""
        return self.info.session_id

    @property
    def initialization(self) -> str | None:
        """The name of the one that it adapts from; why is the adaptation's ``choice``."""
        return self.info.initialization

    @property
    def labels(self) -> tuple[str, ...]:
        """Its classes."""
        return self.info.labels

    @property
    def adaptation(self) -> Adaptation:
        """How its last adaptation went. Raises LookupError where this object has made none."""
        adapted = self.info if isinstance(self.info, Adaptation) else None
        if adapted is None:
            raise LookupError("this session was looked up or restored, and not adapted since")
        return adapted

    @property
    def support_accuracy(self) -> float:
        """That of the last adaptation."""
        return self.adaptation.support_accuracy

    @property
    def answer(self) -> Mapping[str, Any]:
        """All that the server said of the session last."""
        return self.info.answer

    def _has_grown(self, adapted: Adapted) -> None:
        """Take in what adding images answered."""
        alone = adapted.adaptation.version == self.info.version + adapted.n_calls
        if self.sources is not None:
            self.sources = (*self.sources, *adapted.sources) if alone else None
        self.info = adapted.adaptation

    def _has_shrunk(self, adaptation: Adaptation, position: int) -> None:
        """Take in what removing an image answered."""
        alone = adaptation.version == self.info.version + 1
        if self.sources is not None:
            left = (*self.sources[:position], *self.sources[position + 1 :])
            self.sources = left if alone else None
        self.info = adaptation

    def _with_sources(self, report: Report) -> Report:
        """A report whose suspects have the paths of their files."""
        sources = self.sources
        if sources is None:
            return report
        suspects = tuple(
            replace(suspect, source=sources[suspect.position])
            if suspect.position < len(sources)
            else suspect
            for suspect in report.suspects
        )
        return replace(report, suspects=suspects)


def export_format(target: str | PathLike[str] | None, kind: ExportFormat | None) -> ExportFormat:
    """The format that is asked for, or that the ending of a path tells. Raises BadData."""
    if kind is None and target is not None:
        ending = Path(fspath(target)).suffix.lower().removeprefix(".")
        kind = next((known for known in FORMATS if known == ending), None)
    if kind not in FORMATS:
        raise BadData(
            f"expected a format ({' or '.join(FORMATS)}) or a path with such an ending, got "
            f"{kind or str(target)!r}"
        )
    return kind


def written(content: bytes, target: Path) -> Path:
    """Write a file whole, or not at all; one of the same name is replaced. Raises OSError."""
    partial = target.with_name(f".{target.name}.part")
    try:
        partial.write_bytes(content)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target
