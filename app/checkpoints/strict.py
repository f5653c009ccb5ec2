"""What config files and recipes have in common: nothing unknown in them, every deviation told."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class Strict(BaseModel):
    """A table that cannot be changed and takes no unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(BaseModel):
    """A choice by name with its options beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    def options(self) -> dict[str, Any]:
        """The options alone."""
        return dict(self.model_extra or {})


def listed(invalid: ValidationError, root: str) -> str:
    """Every deviation with the path of its entry; ``root`` names the whole."""
    return "; ".join(
        f"{'.'.join(str(part) for part in error['loc']) or root}: {error['msg']}"
        for error in invalid.errors(include_input=False, include_url=False)
    )
