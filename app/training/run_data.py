"""The data of a training run, as its state keeps it: which classes, and what their files hold.

Names, times and the order of files do not count. Names of classes do: a run learns them in their
order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ..data.episodes import ClassImages
from ..data.sources import ClassFiles

SHOWN = 4
"""Classes of each kind of change that a message names."""


@dataclass(frozen=True)
class RunData:
    """A digest over the files of each class, by its name, for both splits that a run reads."""

    train: dict[str, str]
    validation: dict[str, str]

    @staticmethod
    def of(training: ClassImages, validation: ClassImages) -> RunData:
        """The data of classes that know what they were read from."""
        return RunData(_digests(training.files), _digests(validation.files))

    def to_json(self) -> str:
        """One line of text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> RunData:
        """The inverse of `to_json`."""
        return RunData(**json.loads(text))

    def changes_since(self, earlier: RunData) -> str:
        """What is other than in ``earlier``, in words; nothing where the data is the same."""
        before, now = earlier.train | earlier.validation, self.train | self.validation
        gone = {digest: name for name, digest in before.items() if name not in now}
        renamed = {name: gone[now[name]] for name in now.keys() - before if now[name] in gone}
        both = now.keys() & before
        kinds = {
            "more": now.keys() - before - renamed.keys(),
            "fewer": before.keys() - now - set(renamed.values()),
            "of other files": {name for name in both if before[name] != now[name]},
            "renamed": {f"{old} to {new}" for new, old in renamed.items()},
            "moved between train and validation": {
                name for name in both if self._places(name) != earlier._places(name)
            },
        }
        return ", ".join(_told(kind, sorted(names)) for kind, names in kinds.items() if names)

    def _places(self, name: str) -> tuple[bool, bool]:
        return name in self.train, name in self.validation


def _digests(files: Sequence[ClassFiles]) -> dict[str, str]:
    return {
        read.name: hashlib.sha256(b"".join(sorted(read.digests))).hexdigest()[:32] for read in files
    }


def _told(kind: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{len(names)} {'class' if len(names) == 1 else 'classes'} {kind} ({shown})"
