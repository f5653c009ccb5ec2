"""Imports run downward only, and the client stays light."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_imports_run_downward_only() -> None:
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_importing_the_package_loads_neither_torch_nor_fastapi() -> None:
    code = (
        "import sys, inkling; from inkling import Client; "
        "sys.exit(', '.join({'torch', 'fastapi', 'numpy', 'pydantic'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_serving_needs_nothing_that_draws_pictures() -> None:
    code = "import sys, inkling.main; sys.exit('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_only_api_and_main_know_the_web_framework() -> None:
    knowing = {
        path.relative_to(ROOT / "app").parts[0]
        for path in (ROOT / "app").rglob("*.py")
        if any(name in path.read_text() for name in ("import fastapi", "from fastapi", "starlette"))
    }
    assert knowing <= {"api", "main.py", "cli"}


def test_only_checkpoints_know_the_weights_format() -> None:
    knowing = {
        path.relative_to(ROOT / "app").parts[0]
        for path in (ROOT / "app").rglob("*.py")
        if re.search(r"^(from|import) safetensors", path.read_text(), re.MULTILINE)
    }
    assert knowing == {"checkpoints"}
