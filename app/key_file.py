"""The file of API keys: a line for each, with the tenant that has it and the key's hash."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .errors import BadSetting

MIN_KEY_LENGTH = 16
"""Characters of a key that stands in the file as it is."""
ID_DIGITS = 12
HASHED = re.compile(r"sha256:([0-9a-f]{64})")
COMMENT = re.compile(r"(^|\s)#.*")
TENANT = re.compile(r"[A-Za-z0-9._@-]{1,64}")
HEADER = "# API keys of an Inkling server, by their hashes. See `inkling keys --help`.\n"
WRITABLE_BY_OTHERS, READABLE_BY_OTHERS = 0o022, 0o044


@dataclass(frozen=True)
class KeyEntry:
    """A key by its sha256 ``digest``; ``plain`` tells that the file holds the key itself."""

    tenant: str
    digest: bytes
    plain: bool
    comment: str = ""

    @property
    def id(self) -> str:
        """What the key is called where it must not be told."""
        return self.digest.hex()[:ID_DIGITS]


def digest_of(key: str) -> bytes:
    """What a key is known by. Keys that are made here are random, so that it needs no salt."""
    return hashlib.sha256(key.encode()).digest()


def read_keys(path: Path) -> list[KeyEntry]:
    """All keys of a file, in its order.

    Lines are `TENANT sha256:HASH` or `TENANT KEY`; a `#` at the start of a line or behind a blank
    begins a comment, any other is a part of its key. Raises BadSetting that names the line, and
    never a key; also where others than the owner may write the file.
    """
    try:
        lines = path.read_text().splitlines()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as broken:
        raise BadSetting(f"API keys: {broken}") from None
    if os.name == "posix" and mode & WRITABLE_BY_OTHERS:
        raise BadSetting(f"{path}: expected a file that its owner alone can write (chmod go-w)")
    entries: list[KeyEntry] = []
    tenants: dict[bytes, str] = {}
    for number, line in enumerate(lines, start=1):
        words = COMMENT.sub("", line).split()
        if not words:
            continue
        if len(words) != 2:
            raise BadSetting(f"{path}, line {number}: expected a tenant and a key")
        comment = COMMENT.search(line)
        said = comment[0].strip(" \t#") if comment else ""
        entry = _entry(words[0], words[1], said, f"{path}, line {number}")
        if tenants.setdefault(entry.digest, entry.tenant) != entry.tenant:
            raise BadSetting(f"{path}, line {number}: this key belongs to another tenant already")
        entries.append(entry)
    return entries


def read_by_others(path: Path) -> bool:
    """Whether others than its owner may read a file."""
    return os.name == "posix" and bool(path.stat().st_mode & READABLE_BY_OTHERS)


def add_key(path: Path, tenant: str) -> str:
    """Make a key for a tenant, and give it: the file keeps its hash alone. Raises BadSetting."""
    if not TENANT.fullmatch(tenant):
        raise BadSetting(
            f"expected a tenant of 1 to 64 letters, digits, or . _ @ -, got {tenant[:100]!r}"
        )
    key = secrets.token_urlsafe(32)
    with _changing(path) as lines:
        today = datetime.now(UTC).date()
        lines.append(f"{tenant} sha256:{digest_of(key).hex()} # added {today}\n")
    return key


def remove_keys(path: Path, name: str) -> Sequence[KeyEntry]:
    """Remove the keys of a tenant, or the one of an id, and give them. Raises BadSetting."""
    removed = [entry for entry in read_keys(path) if name in (entry.tenant, entry.id)]
    if not removed:
        raise BadSetting(f"{path}: expected a tenant or the id of a key, got {name[:100]!r}")
    digests = {entry.digest for entry in removed}
    with _changing(path) as lines:
        lines[:] = [line for line in lines if not digests & _digests(line)]
    return removed


def _digests(line: str) -> set[bytes]:
    words = COMMENT.sub("", line).split()
    return {_entry(words[0], words[1], "", "").digest} if len(words) == 2 else set()


def _entry(tenant: str, key: str, comment: str, where: str) -> KeyEntry:
    hashed = HASHED.fullmatch(key)
    if hashed:
        return KeyEntry(tenant, bytes.fromhex(hashed[1]), plain=False, comment=comment)
    if key.startswith("sha256:"):
        raise BadSetting(f"{where}: expected 64 hexadecimal digits behind sha256:")
    if len(key) < MIN_KEY_LENGTH:
        raise BadSetting(
            f"{where}: expected a key of {MIN_KEY_LENGTH} characters or more, got {len(key)}"
        )
    return KeyEntry(tenant, digest_of(key), plain=True, comment=comment)


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[list[str]]:
    """The lines of a file, which is replaced by what becomes of them: whole, or not at all."""
    try:
        lines = path.read_text().splitlines(keepends=True) if path.exists() else [HEADER]
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        yield lines
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as partial:
            partial.writelines(lines)
            partial.flush()
            os.fsync(partial.fileno())
        Path(partial.name).chmod(mode)
        Path(partial.name).replace(path)
    except (OSError, UnicodeDecodeError) as refused:
        raise BadSetting(f"API keys: {refused}") from None
