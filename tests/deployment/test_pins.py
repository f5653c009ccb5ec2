"""The pins of the image: all that the server asks for, by name, version and hash alone."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent.parent
PINS = ROOT / "docker" / "pins"
ENTRY = re.compile(
    r"^([\w.-]+)==([^\s;]+)[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
KINDS = ("cuda", "cpu")


def pinned(*names: str) -> dict[str, Version]:
    found: dict[str, Version] = {}
    for name in names:
        lines = (PINS / name).read_text().partition("\n")[2]
        assert ENTRY.sub("", lines) == "", "something that is no pin"
        for entry in ENTRY.finditer(lines):
            assert canonicalize_name(entry[1]) not in found, entry[1]
            found[canonicalize_name(entry[1])] = Version(entry[2])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_the_server_asks_for_is_pinned_within_its_bounds(kind: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["server"], *extras["redis"], *extras["telemetry"]]
    pins = pinned(f"torch-{kind}.txt", "others.txt")
    for line in wanted:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        assert pins[name] in requirement.specifier, line


def test_the_image_without_cuda_has_nothing_of_it() -> None:
    assert not [name for name in pinned("torch-cpu.txt") if name.startswith(("nvidia-", "cuda-"))]
    assert "nvidia-cublas" in pinned("torch-cuda.txt")
