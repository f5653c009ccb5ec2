from __future__ import annotations

from pathlib import Path

import httpx
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings

from ..load.traffic import adapt, draw_task


def test_a_database_that_is_not_the_servers_any_more_is_told_and_takes_nothing_new(
    tmp_path: Path, drawings: dict[str, list[bytes]]
) -> None:
    settings = Settings(session_folder=tmp_path / "state", initializations=("omniglot",), workers=1)
    path = tmp_path / "state" / "sessions.sqlite"
    task = draw_task(drawings, 0)
    with (
        local_server(create_app(settings)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        made = [adapt(http, task).json()["session_id"] for _ in range(2)]
        path.rename(tmp_path / "first")
        path.write_bytes(b"another file")
        for refused in (adapt(http, task), http.get("/readyz")):
            assert refused.status_code == 503
            assert "another file was put in its place" in refused.json()["detail"]
            assert str(tmp_path) not in refused.text
        assert http.get("/livez").status_code == 200
        assert http.get(f"/sessions/{made[0]}").status_code == 200
        assert http.delete(f"/sessions/{made[0]}").status_code == 204
        (tmp_path / "first").replace(path)
        assert http.get("/readyz").status_code == 200
        assert adapt(http, task).status_code == 201
        assert http.get(f"/sessions/{made[1]}").status_code == 200
        assert http.get(f"/sessions/{made[0]}").status_code == 404
