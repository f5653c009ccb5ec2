"""How fast the page is: to the first prediction, behind the pen, before the webcam. Prints figures.

What is measured is what a person waits for: from the pen's or the camera's event to the bars.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from . import on_the_page as do

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from .conftest import Opened

ROUNDS = 5
STROKES = 20
SECONDS = 5
WATCH = """() => {
  const live = document.querySelector(".live .answer");
  window.waits = [];
  window.shown = 0;
  window.began = null;
  document.querySelector(".live .pad")?.addEventListener("pointermove", () => {
    window.began ??= performance.now();
  });
  new MutationObserver(() => {
    window.shown += 1;
    if (window.began === null) return;
    window.waits.push(performance.now() - window.began);
    window.began = null;
  }).observe(live, { attributeFilter: ["data-probability"] });
}"""


def told(what: str, values: list[float]) -> None:
    print(
        f"\n{what}: median {statistics.median(values):.0f} ms, "
        f"most {max(values):.0f} ms of {len(values)}"
    )


def test_opening_to_first_prediction(opened: Opened) -> None:
    for mode in ("", "#draw"):
        waits = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            page = opened("/" + mode)
            do.fill_with_samples(page)
            do.button(page, "Adapt").click()
            page.locator(".question .answer[data-label]").first.wait_for()
            waits.append(1000 * (time.perf_counter() - began))
            page.close()
        told(f"opening to the first prediction on samples, two clicks ({mode or 'photos'})", waits)


def test_bars_follow_the_pen(opened: Opened) -> None:
    page = prepared(opened("/#draw"))
    page.evaluate(WATCH)
    pad = page.locator(".live .pad")
    for stroke in range(STROKES):
        share = 0.1 + 0.8 * stroke / STROKES
        do.draw(page, pad, [(0.1, share), (0.9, 1 - share)])
    told("from the pen's movement to the bars", page.evaluate("() => window.waits"))


def test_bars_follow_the_webcam(opened: Opened) -> None:
    page = prepared(opened("/"))
    do.button(page.locator(".asking"), "Camera").click()
    page.locator(".live .answer[data-label]").wait_for()
    page.evaluate(WATCH)
    page.wait_for_timeout(1000 * SECONDS)
    shown = page.evaluate("() => window.shown")
    print(f"\nframes of the webcam told in a second: {shown / SECONDS:.1f}")


def prepared(page: Page) -> Page:
    do.fill_with_samples(page)
    do.adapt(page)
    return page
