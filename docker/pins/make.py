"""Write the pins of a build that can be repeated: names, versions and hashes, and no addresses.

    python -m pip install pip-tools
    python docker/pins/make.py [WHEEL-OF-TORCH-FOR-CPU]

Run it by a Python 3.11 in whose environment the tests have passed: its versions are pinned.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ALSO = "async-timeout>=4.0.3\n"
"""What redis asks for below Python 3.11.3, which Debian 12 has, and not by a later one."""
EXTRAS = ("server", "redis", "telemetry")
ENTRY = re.compile(r"^([\w.-]+)==[^\n]*\\\n(?:    --hash=\S+(?: \\)?\n?)+", re.MULTILINE)
OF_CUDA = re.compile(r"nvidia-|cuda-|triton$")
OF_TORCH = {"filelock", "fsspec", "jinja2", "markupsafe", "mpmath", "networkx"} | {
    "setuptools",
    "sympy",
    "typing-extensions",
}


def main(cpu_wheel: str | None = None) -> None:
    """Resolve what the image installs, and divide it as the Dockerfile's layers do."""
    pins = {entry[1]: entry[0].rstrip() + "\n" for entry in ENTRY.finditer(compiled())}
    shared = [pin for name, pin in pins.items() if name in OF_TORCH]
    cuda = [pin for name, pin in pins.items() if name == "torch" or OF_CUDA.match(name)]
    others = [pin for pin in pins.values() if pin not in shared and pin not in cuda]
    written("torch-cuda.txt", "torch with CUDA, and what it needs", [*cuda, *shared])
    written("others.txt", "what the server needs beside torch", others)
    if cpu_wheel is not None:
        wheel = Path(cpu_wheel)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        torch = f"torch=={wheel.name.split('-')[1]} \\\n    --hash=sha256:{digest}\n"
        written("torch-cpu.txt", "torch without CUDA (x86-64), and what it needs", [torch, *shared])


def compiled() -> str:
    """All requirements with their hashes, at the versions of this environment."""
    freeze = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    versions = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        constraints, out = Path(folder) / "constraints.txt", Path(folder) / "out.txt"
        constraints.write_text(versions)
        also = Path(folder) / "also.in"
        also.write_text(ALSO)
        options = ["--generate-hashes", "--strip-extras", "--no-annotate", "--allow-unsafe"]
        options += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
        options += [f"--extra={extra}" for extra in EXTRAS]
        command = [sys.executable, "-m", "piptools", "compile", "--quiet", *options]
        command += ["--constraint", str(constraints), "--output-file", str(out)]
        subprocess.run(
            [*command, str(HERE.parent.parent / "pyproject.toml"), str(also)], check=True
        )
        return out.read_text()


def written(name: str, what: str, pins: list[str]) -> None:
    """Write a file of pins beside this program."""
    (HERE / name).write_text(f"# {what}. Written by docker/pins/make.py.\n{''.join(pins)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
