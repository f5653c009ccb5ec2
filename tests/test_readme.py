"""What the README and the pages it leads to tell people to do works as written."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest
from inkling.settings import PREFIX, Settings

BODIES = ("AdaptBody", "PredictBody", "EvaluateBody")
ROOT = Path(__file__).resolve().parent.parent
README, API = ROOT / "README.md", ROOT / "app/api/README.md"
SETTINGS = ROOT / "app/SETTINGS.md"
PAGES = [
    README,
    API,
    SETTINGS,
    ROOT / "app/TASKS.md",
    ROOT / "app/README.md",
    ROOT / "app/cli/README.md",
    ROOT / "app/client/README.md",
    ROOT / "app/training/README.md",
    ROOT / "docker/README.md",
    ROOT / "models/README.md",
    ROOT / "tests/benchmarks/README.md",
]


def blocks(language: str, page: Path = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def curl(
    line: str, http: httpx.Client, folder: Path, written: dict[str, bytes] | None = None
) -> httpx.Response:
    """Do what a curl line of the README would; ``written`` are files that lines write and read."""
    written = {} if written is None else written
    target = ""
    words = shlex.split(line.replace("\\\n", " "))[1:]
    files: list[tuple[str, Any]] = []
    url, method = "", None
    while words:
        word = words.pop(0)
        if word == "-F":
            name, _, value = words.pop(0).partition("=")
            if value.startswith("@"):
                path = folder / value[1:]
                content = written.get(value[1:])
                if content is None:
                    content = (path if path.exists() else ROOT / value[1:]).read_bytes()
                files.append((name, (value[1:], content)))
            else:
                files.append((name, (None, value)))
        elif word == "-X":
            method = words.pop(0)
        elif word == "-o":
            target = words.pop(0)
        elif not word.startswith("-"):
            url = word.removeprefix("http://127.0.0.1:8000")
    answer = http.request(method or ("POST" if files else "GET"), url, files=files or None)
    if target:
        written[target] = answer.content
    return answer


def test_the_curl_lines_do_what_the_readme_says(http: httpx.Client) -> None:
    lines = [
        part
        for block in [*blocks("sh"), *blocks("sh", API)]
        for part in re.findall(r"^curl .*?(?<!\\)$", block, re.DOTALL | re.MULTILINE)
    ]
    adapting, predicting, *others, refusing = lines
    folder = ROOT / "app/samples/groceries"
    adapted = curl(adapting, http, folder)
    assert adapted.status_code == 201
    session_id = adapted.json()["session_id"]
    predicted = curl(predicting.replace("SESSION_ID", session_id), http, folder)
    labels = [prediction["label"] for prediction in predicted.json()["predictions"]]
    assert labels == ["lemon", "garlic"]
    written: dict[str, bytes] = {}
    found = [curl(line.replace("SESSION_ID", session_id), http, folder, written) for line in others]
    codes = [response.status_code for response in found]
    assert codes == [200, 200, 200, 200, 200, 201, 200, 200, 204, 200]
    assert found[0].json()["version"] == 2
    assert found[1].json()["n_images"] == 2
    assert found[2].json()["version"] == 3
    assert found[5].json()["classes"] == found[2].json()["classes"]
    refused = curl(refusing, http, folder)
    assert refused.status_code == 422
    assert len(refused.json()["problems"]) == 2


def test_the_python_lines_run(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (code,) = blocks("python")
    exec(code.replace("http://127.0.0.1:8000", server), {})  # noqa: S102
    assert "label='garlic'" in capsys.readouterr().out


def test_the_json_lines_are_bodies_that_the_api_knows(http: httpx.Client) -> None:
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    (block,) = blocks("json", API)
    for line, model in zip(block.strip().splitlines(), BODIES, strict=True):
        assert json.loads(line).keys() <= schemas[model]["properties"].keys()


def test_every_setting_is_in_the_table_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        variable = f"`{PREFIX}{name.upper()}`"
        row = next(
            row for row in SETTINGS.read_text().splitlines() if row.startswith(f"| {variable}")
        )
        assert str(field.description) in row
        if field.default_factory is None and field.default not in (None, (), ""):
            default = field.default
            default = ",".join(default) if isinstance(default, tuple) else default
            assert f"`{str(default).lower() if isinstance(default, bool) else default}`" in row


def test_every_route_in_the_table_exists_and_the_reverse(http: httpx.Client) -> None:
    told = set(re.findall(r"`(?:GET|POST|DELETE) (/[^`]*)`", API.read_text())) - {"/adapt`"}
    told = {re.sub(r"\{id\}", "{session_id}", path) for path in told}
    assert told == set(http.get("/openapi.json").json()["paths"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_and_heading_that_is_linked_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^):]+)\)", page.read_text()):
        path, _, heading = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            assert heading in {
                re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings
            }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_name_options_that_exist(page: Path) -> None:
    from inkling.cli.app import app
    from typer.main import get_command

    commands = get_command(app).commands  # type: ignore[attr-defined]
    lines = re.findall(
        r"inkling (serve|demo|adapt|predict|report|export|restore|train|evaluate|calibrate|"
        r"import-backbone|fit-metric)\b([^\n|`]*)",
        page.read_text(),
    )
    for command, rest in lines:
        known = {option for param in commands[command].params for option in param.opts}
        assert set(re.findall(r"--[a-z0-9-]+", rest)) <= known, (command, rest)


def test_the_lines_on_keys_do_what_the_operators_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inkling.cli.app import app
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docker" / "README.md").read_text()
    lines = re.findall(r"^inkling (keys [^#>\n]*)", page, re.MULTILINE)
    assert [line.split()[1] for line in lines] == ["add", "add", "list", "remove", "add"]
    for line in lines:
        done = CliRunner().invoke(app, shlex.split(line))
        assert done.exit_code == 0, done.output
    assert "sha256:" in Path("keys").read_text()


def test_variables_of_the_operators_page_are_settings() -> None:
    page = (ROOT / "docker" / "README.md").read_text()
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    passed_over = {"INKLING_PUBLISHED_PORT", "INKLING_SERVICE_HOST"}
    assert set(re.findall(r"INKLING_[A-Z_]*[A-Z]", page)) <= known | passed_over
