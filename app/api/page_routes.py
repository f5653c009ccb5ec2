"""The web page at `/`: its files and its sample images, all from memory and from nowhere else."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response

from .page_samples import sample_files, sample_list
from .paths import root_path

FOLDER = Path(__file__).resolve().parent.parent / "page"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
"""By ending; not every machine's table of types has them."""
_OWN_ADDRESS = re.compile(rb'((?:href|src)=")(?=page/)')
_ENTITY_TAG = re.compile(r'"([^"]*)"')


@dataclass(frozen=True)
class Asset:
    """A file as it is served; its tag changes with its content."""

    content: bytes
    media_type: str
    tag: str

    @classmethod
    def of(cls, content: bytes, ending: str) -> Asset:
        """An asset of a file with this ending, such as `.js`."""
        media_type = MEDIA_TYPES.get(ending) or mimetypes.types_map[ending]
        return cls(content, media_type, hashlib.sha256(content).hexdigest()[:32])

    def answer(self, request: Request) -> Response:
        """The file, or 304 for a browser that has it."""
        headers = {
            "ETag": f'"{self.tag}"',
            "Cache-Control": "no-cache",
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "same-origin",
        }
        if self.tag in _ENTITY_TAG.findall(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def install_page(app: FastAPI) -> None:
    """Add the page at `/` and what it loads below `/page/`. No key is asked for."""
    assets = _assets()
    start = assets.pop("index.html")
    published: dict[str, Asset] = {}

    @app.get("/", include_in_schema=False)
    async def start_page(request: Request) -> Response:
        root = root_path(request.scope)
        if root not in published:
            published[root] = _below(start, root)
        return published[root].answer(request)

    @app.get("/page/{path:path}", include_in_schema=False)
    async def page_file(path: str, request: Request) -> Response:
        if path not in assets:
            raise HTTPException(404)
        return assets[path].answer(request)


def _assets() -> dict[str, Asset]:
    """All files that are served, by their path below `/page/`."""
    own = {
        path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*") if path.is_file()
    }
    samples = {f"samples/{name}": path for name, path in sample_files().items()}
    assets = {
        name: Asset.of(path.read_bytes(), path.suffix) for name, path in (own | samples).items()
    }
    assets["samples.json"] = Asset.of(json.dumps(sample_list()).encode(), ".json")
    return assets


def _below(start: Asset, root: str) -> Asset:
    """The start page with the addresses of its files below the prefix of a proxy.

    Relative ones, as they stand in the file, would lead astray where the prefix is opened without
    a slash at its end.
    """
    if not root:
        return start
    return Asset.of(_OWN_ADDRESS.sub(rb"\g<1>" + root.encode() + b"/", start.content), ".html")
