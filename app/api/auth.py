"""Who calls: API keys to tenants. A server without keys serves everybody as one tenant."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

from fastapi import Request

from ..errors import BadSetting, UnknownApiKey

MIN_KEY_LENGTH = 16
EVERYBODY = ""


class ApiKeys:
    """Knows the tenant of a request by its `Authorization: Bearer KEY`."""

    def __init__(self, tenants: Mapping[bytes, str] | None) -> None:
        """``tenants`` maps sha256 digests of keys to tenants; None asks nobody."""
        self._tenants = tenants

    def tenant_of(self, request: Request) -> str:
        """The tenant of a request. Raises UnknownApiKey."""
        if self._tenants is None:
            return EVERYBODY
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(key.strip().encode()).digest()
        tenant = None
        # All digests are compared, so that time tells nothing of them.
        for known, name in self._tenants.items():
            if hmac.compare_digest(known, digest):
                tenant = name
        if kind.lower() != "bearer" or tenant is None:
            raise UnknownApiKey(sent=bool(kind))
        return tenant


def read_api_keys(path: Path | None) -> ApiKeys:
    """Read keys from a file of lines `TENANT KEY`; blank lines and those behind a # do not count.

    Raises BadSetting that names the line, and never a key.
    """
    if path is None:
        return ApiKeys(None)
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as broken:
        raise BadSetting(f"API keys: {broken}") from None
    tenants: dict[bytes, str] = {}
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2:
            raise BadSetting(f"{path}, line {number}: expected a tenant and a key")
        tenant, key = words
        if len(key) < MIN_KEY_LENGTH:
            raise BadSetting(
                f"{path}, line {number}: expected a key of {MIN_KEY_LENGTH} characters or more, "
                f"got {len(key)}"
            )
        digest = hashlib.sha256(key.encode()).digest()
        if tenants.setdefault(digest, tenant) != tenant:
            raise BadSetting(f"{path}, line {number}: this key belongs to another tenant already")
    if not tenants:
        raise BadSetting(f"{path}: expected lines of a tenant and a key, got none")
    return ApiKeys(tenants)
