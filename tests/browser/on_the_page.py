"""What a person does on the page, in words."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

DROP = """([element, files]) => {
  const transfer = new DataTransfer();
  for (const [name, bytes] of files) {
    const content = Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0));
    transfer.items.add(new File([content], name));
  }
  const options = {dataTransfer: transfer, bubbles: true, cancelable: true};
  for (const name of ["dragenter", "dragover", "drop"])
    element.dispatchEvent(new DragEvent(name, options));
}"""
PASTE = """([element, [[name, bytes]]]) => {
  const transfer = new DataTransfer();
  const content = Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0));
  transfer.items.add(new File([content], name));
  element.dispatchEvent(new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true}));
}"""


def button(page: Page | Locator, name: str) -> Locator:
    """A button that is shown, by all of its name."""
    return page.get_by_role("button", name=name, exact=True)


def fill_with_samples(page: Page) -> None:
    page.get_by_role("button", name="Try it with").click()
    page.locator(".question").first.wait_for()


def adapt(page: Page, again: bool = False) -> None:
    """Press Adapt, and wait until it has learned and answered what was asked."""
    button(page, "Adapt again" if again else "Adapt").click()
    settled(page)


def settled(page: Page) -> None:
    """Wait until nothing is being done."""
    page.wait_for_function("() => document.querySelector('.doing').textContent === ''")


def asked(page: Page, count: int) -> None:
    """Wait until so many questions have their answers, or what is wrong with them."""
    page.wait_for_function(
        "count => document.querySelectorAll("
        "'.question .answer[data-label], .question.broken').length >= count",
        arg=count,
    )
    settled(page)


def cards(page: Page) -> Locator:
    """The classes that are shown."""
    return page.locator(".class-card")


def answers(page: Page) -> list[str | None]:
    """The labels told of the questions, from the top."""
    shown = page.locator(".question .answer")
    return [one.get_attribute("data-label") for one in shown.all()]


def drop(target: Locator, files: Mapping[str, bytes]) -> None:
    """Drop files by their names."""
    target.evaluate(f"(element, files) => ({DROP})([element, files])", _sent(files))


def paste(target: Locator, name: str, content: bytes) -> None:
    """Paste an image."""
    target.evaluate(f"(element, files) => ({PASTE})([element, files])", _sent({name: content}))


def draw(page: Page, pad: Locator, *strokes: list[tuple[float, float]]) -> None:
    """Draw strokes with the mouse; places are shares of the sheet's sides."""
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    for first, *others in strokes:
        page.mouse.move(box["x"] + first[0] * box["width"], box["y"] + first[1] * box["height"])
        page.mouse.down()
        for x, y in others:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        page.mouse.up()


def _sent(files: Mapping[str, bytes]) -> list[list[str]]:
    return [[name, base64.b64encode(content).decode()] for name, content in files.items()]
