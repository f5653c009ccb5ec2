"""Imports run downward only, the client stays light, and the code keeps to its measures."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES, MEDIAN_LINES = 60, 8
LINES_A_COMMENT = 10


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


def test_kernels_know_arrays_alone() -> None:
    """Importing all of them loads no torch and nothing of the package's other rooms but errors."""
    code = (
        "import importlib, pkgutil, sys, inkling.kernels as room\n"
        "for module in pkgutil.iter_modules(room.__path__, room.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "ours = {name.split('.')[1] for name in sys.modules if name.startswith('inkling.')}\n"
        "sys.exit(', '.join(ours - LIGHT | {'torch'} & set(sys.modules)) or 0)"
    )
    light = {"kernels", "errors", *_rooms_of_the_client()}
    done = subprocess.run(
        [sys.executable, "-c", f"LIGHT = {light}\n{code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_kernels_explain_themselves() -> None:
    counts = [_comments_and_lines(path) for path in (ROOT / "app" / "kernels").glob("*.py")]
    n_comments, n_lines = map(sum, zip(*counts, strict=True))
    assert n_comments * LINES_A_COMMENT >= n_lines


def test_functions_are_short() -> None:
    lengths = {where: n_lines for path in _sources() for where, n_lines in _lengths(path)}
    long = {where: n_lines for where, n_lines in lengths.items() if n_lines > MOST_LINES}
    assert not long
    assert statistics.median(lengths.values()) <= MEDIAN_LINES


def _rooms_of_the_client() -> set[str]:
    """What `import inkling` itself loads."""
    code = "import sys, inkling; print(*(n.split('.')[1] for n in sys.modules if 'inkling.' in n))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def _sources() -> Iterator[Path]:
    return (ROOT / "app").rglob("*.py")


def _lengths(path: Path) -> Iterator[tuple[str, int]]:
    """The lines of each function; of a command's not those of its arguments, which are its help."""
    command = path.is_relative_to(ROOT / "app" / "cli")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            begin = node.body[0].lineno if command else node.lineno
            assert node.end_lineno is not None
            yield f"{path.relative_to(ROOT)}:{node.name}", node.end_lineno - begin + 1


def _comments_and_lines(path: Path) -> tuple[int, int]:
    """Comments, and lines of code: neither docstrings nor empty lines are counted."""
    begins = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
    passed = {tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER}
    n_comments, lines, statement_begins = 0, set(), True
    with path.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            docstring = token.type == tokenize.STRING and statement_begins
            n_comments += token.type == tokenize.COMMENT
            if token.type not in begins | passed and not docstring:
                lines.add(token.start[0])
            if token.type not in passed:
                statement_begins = token.type in begins
    return n_comments, len(lines)
