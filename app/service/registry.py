"""The initializations of this process, by name and by identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..engine.handle import Handle
from ..errors import InitializationNotLoaded, InvalidInput, Problem
from ..sessions.session import SessionFacts

AUTO = "auto"
"""In place of a name: the initialization that the images of a call decide for."""


class Registry:
    """Handles with different names, none of them `AUTO`; the name of one, or `AUTO`, is default."""

    def __init__(self, handles: Sequence[Handle], default: str | None = None) -> None:
        """``default`` is `AUTO` unless it is given, or the name of the only one."""
        self.by_name: Mapping[str, Handle] = {handle.name: handle for handle in handles}
        self.default = default or (AUTO if len(handles) > 1 else handles[0].name)
        self._by_identity = {handle.identity: handle for handle in handles}

    def chosen(self, name: str | None) -> Handle | None:
        """The one that a call names, or the default; None if its images decide.

        Raises InvalidInput.
        """
        wanted = self.default if name is None else name
        if wanted == AUTO:
            return None
        if wanted not in self.by_name:
            message = f"expected {AUTO} or one of {', '.join(self.by_name)}, got {wanted!r}"
            raise InvalidInput([Problem("unknown_initialization", message, "initialization")])
        return self.by_name[wanted]

    def name_of(self, session: SessionFacts) -> str | None:
        """The name of the one that a session was adapted from, if it is loaded."""
        handle = self._by_identity.get(session.identity)
        return None if handle is None else handle.name

    def of(self, session: SessionFacts) -> Handle:
        """The one that a session was adapted from. Raises InitializationNotLoaded."""
        return self.by_identity(session.identity)

    def by_identity(self, identity: str) -> Handle:
        """The one of an identity. Raises InitializationNotLoaded."""
        if identity not in self._by_identity:
            raise InitializationNotLoaded(identity, list(self.by_name))
        return self._by_identity[identity]
