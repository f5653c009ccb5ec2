"""Debian's Chromium, driven by Playwright, with pages that tell of every error in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

    Opened = Callable[..., Page]

PROGRAM = "chromium"
PATIENCE = 30_000
"""Milliseconds that a busy machine may take to show what is expected."""
DESKTOP = {"width": 1360, "height": 900}
FLAGS = (
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium whose webcam is a moving test picture."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    path = shutil.which(PROGRAM)
    assert path, f"expected the program {PROGRAM!r}: apt install {PROGRAM}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a server with both initializations."""
    with local_server(create_app(Settings(session_store="memory", workers=1))) as url:
        yield url


@pytest.fixture
def opened(browser: Browser, server: str) -> Iterator[Opened]:
    """Opens a page in a profile of its own; what fails inside it fails the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []
    expected: list[str] = []

    def heard(said: ConsoleMessage) -> None:
        if said.type == "error":
            errors.append(said.text)

    def open_page(path: str = "/", url: str = server, tolerated: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        if tolerated:
            expected.append(tolerated)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", heard)
        page.goto(url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    unexpected = [error for error in errors if not any(part in error for part in expected)]
    assert not unexpected, unexpected
