"""The page in a real browser, against a real server."""

from __future__ import annotations

import io
import json
import math
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx
import pytest
from inkling.cli.demo import SAMPLES
from inkling.cli.local_server import local_server
from inkling.main import create_app
from inkling.settings import Settings
from PIL import Image
from playwright.sync_api import expect

from ..load.server import ServerProcess
from . import on_the_page as do
from .conftest import DESKTOP

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from .conftest import Opened

GROCERIES = SAMPLES["photographs"]
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
REFUSED = "Failed to load resource"
"""What Chromium's console says of every answer that is no success."""
KEY = "key-of-the-browser-12345678"
SIZES = {"desktop": DESKTOP, "phone": {"width": 390, "height": 844}}
SHOTS = Path("build/screenshots")
CIRCLE = [
    (0.5 + 0.3 * math.cos(math.tau * turn / 12), 0.5 + 0.3 * math.sin(math.tau * turn / 12))
    for turn in range(13)
]
CROSS = ([(0.2, 0.2), (0.8, 0.8)], [(0.8, 0.2), (0.2, 0.8)])


def groceries(name: str, *numbers: int) -> dict[str, bytes]:
    return {
        f"{name} {number}.jpg": (GROCERIES / name / f"{number:02}.jpg").read_bytes()
        for number in numbers
    }


def archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for path, content in files.items():
            out.writestr(path, content)
    return packed.getvalue()


def large_photograph() -> bytes:
    """A photograph of more than 512 KiB and 1,024 pixels, as phones make them."""
    image = Image.open(GROCERIES / "lemon" / "09.jpg").convert("RGB").resize((3000, 2000))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=98)
    assert packed.tell() > 2**19
    return packed.getvalue()


def taught(page: Page, *, shots: int = 2) -> None:
    """Two classes of photographs, dropped and adapted to."""
    for place, name in enumerate(("lemon", "garlic")):
        card = do.cards(page).nth(place)
        card.get_by_role("textbox").fill(name)
        do.drop(card, groceries(name, *range(1, shots + 1)))
    do.adapt(page)


@pytest.mark.parametrize(
    ("mode", "labels"),
    [
        ("", ["lemon", "garlic", "avocado"]),
        ("#draw", ["Glagolitic", "Tibetan", "Oriya", "Mongolian"]),
    ],
    ids=["photos", "draw"],
)
def test_two_clicks_lead_from_opening_to_predictions(
    opened: Opened, mode: str, labels: list[str]
) -> None:
    page = opened("/" + mode)
    do.fill_with_samples(page)
    do.adapt(page)
    assert do.answers(page)[: len(labels)] == labels
    last = page.locator(".question").last
    expect(last.locator(".none-of-these")).to_be_visible()
    expect(page.locator(".took")).to_contain_text("Learned in")
    expect(page.locator(".loss circle")).to_have_count(6)
    expect(page.locator(".countdown")).to_contain_text("Forgotten in")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"start{mode.replace('#', '-')}.png")


def test_the_report_outlines_an_image_in_the_wrong_class(opened: Opened) -> None:
    page = opened()
    do.fill_with_samples(page)
    do.drop(do.cards(page).nth(0), groceries("garlic", 11))
    expect(page.locator(".class-card .thumb")).to_have_count(16)
    do.adapt(page)
    do.button(page, "Check the examples").click()
    outlined = page.locator(".thumb.suspect")
    expect(outlined.filter(has_text="looks like garlic")).to_have_count(1)
    expect(page.locator(".heat tbody tr")).to_have_count(3)
    expect(page.locator(".map g")).to_have_count(16)
    expect(page.locator(".map .ring")).to_have_count(outlined.count())
    do.button(page, "Move to garlic").click()
    expect(do.cards(page).nth(1).locator(".thumb")).to_have_count(6)
    do.adapt(page, again=True)
    do.button(page, "Check the examples").click()
    expect(page.locator(".reporting")).to_contain_text("No picture is suspicious")


def test_images_are_added_and_taken_out_within_the_session(opened: Opened, server: str) -> None:
    page = opened()
    calls: list[str] = []
    page.on("request", lambda one: calls.append(f"{one.method} {one.url.removeprefix(server)}"))
    taught(page)
    card = do.button(page, "+ Add a class")
    card.click()
    expect(do.cards(page).nth(2).get_by_role("textbox")).to_be_focused()
    page.keyboard.type("avocado")
    do.drop(do.cards(page).nth(2), groceries("avocado", 1, 2))
    expect(page.locator(".learning")).to_contain_text("2 pictures added")
    do.adapt(page, again=True)
    do.button(page, "Remove picture 1 of lemon").click(force=True)
    expect(page.locator(".learning")).to_contain_text("1 picture taken out")
    do.adapt(page, again=True)
    made = [re.sub(r"/sessions/[^/]+", "/sessions/ID", call) for call in calls]
    assert [call for call in made if "session" in call or "adapt" in call] == [
        "POST /adapt",
        "POST /sessions/ID/support",
        "DELETE /sessions/ID/support/0",
    ]
    do.paste(page.locator(".asking button").first, "new.jpg", *groceries("avocado", 6).values())
    do.asked(page, 1)
    assert do.answers(page) == ["avocado"]


def test_what_was_learned_is_taken_along_and_deleted(opened: Opened, server: str) -> None:
    page = opened(tolerated=REFUSED)
    taught(page)
    page.get_by_text("Take it along").click()
    files = {}
    for name, ending in {"Session file": "safetensors", "ONNX file": "onnx"}.items():
        with page.expect_download(timeout=120_000) as download:
            do.button(page, name).click()
        files[ending] = download.value.path().read_bytes()
        assert download.value.suggested_filename == f"inkling-session.{ending}"
        do.settled(page)
    restored = httpx.post(f"{server}/sessions", files={"session": files["safetensors"]}, timeout=60)
    assert restored.status_code == 201, restored.text
    assert len(files["onnx"]) > 2**20
    do.button(page, "Delete from the server").click()
    expect(page.locator(".notice.note")).to_contain_text("has forgotten")
    expect(do.button(page, "Adapt")).to_be_enabled()
    expect(do.cards(page).nth(0).locator(".thumb")).to_have_count(2)


def test_drawings_are_made_with_the_mouse_and_answers_follow_the_pen(opened: Opened) -> None:
    page = opened("/#draw")
    shapes = {"circle": (CIRCLE,), "cross": CROSS}
    for place, (name, strokes) in enumerate(shapes.items()):
        card = do.cards(page).nth(place)
        card.get_by_role("textbox").fill(name)
        for _ in range(2):
            do.draw(page, card.locator(".pad"), *strokes)
            do.button(card, "Add drawing").click()
        expect(card.locator(".thumb")).to_have_count(2)
    do.adapt(page)
    live = page.locator(".live")
    for name, strokes in shapes.items():
        do.draw(page, live.locator(".pad"), *strokes)
        expect(live.locator(f".answer[data-label={name}]")).to_be_visible()
        do.button(page.locator(".asking"), "Clear").click()
        expect(live.locator(".bars li")).to_have_count(0)


def test_files_archives_and_folders_are_dropped(opened: Opened, tmp_path: Path) -> None:
    page = opened()
    packed = {
        f"kinds/{kind}/{name}": content
        for kind in ("lemon", "garlic")
        for name, content in groceries(kind, 1, 2).items()
    }
    do.drop(
        page.locator(".teach"),
        {"kinds.zip": archive(packed | {"kinds/read me.txt": b"hello"})},
    )
    expect(do.cards(page)).to_have_count(2)
    expect(page.locator(".notice")).to_contain_text("Left out: kinds/kinds/read me.txt (text).")
    folder = tmp_path / "more"
    for name, content in groceries("avocado", 1, 2, 3).items():
        (folder / "avocado").mkdir(parents=True, exist_ok=True)
        (folder / "avocado" / name).write_bytes(content)
    page.locator(".tools input").set_input_files(folder)
    expect(do.cards(page)).to_have_count(3)
    names = [one.input_value() for one in do.cards(page).get_by_role("textbox").all()]
    assert names == ["garlic", "lemon", "avocado"]
    do.adapt(page)
    do.drop(
        page.locator(".ask"),
        {"questions.zip": archive(groceries("avocado", 6) | groceries("lemon", 6))},
    )
    do.asked(page, 2)
    assert sorted(str(label) for label in do.answers(page)) == ["avocado", "lemon"]


def test_broken_files_are_told_and_the_others_are_used(opened: Opened) -> None:
    page = opened(tolerated=REFUSED)
    whole = groceries("lemon", 1, 2, 3)
    broken = {"cut off.jpg": whole["lemon 1.jpg"][:2000], "phone.heic": HEIC}
    do.drop(do.cards(page).nth(0), whole | broken)
    expect(page.locator(".notice")).to_contain_text(
        "phone.heic (HEIC; save it as JPEG (on an iPhone"
    )
    do.drop(do.cards(page).nth(1), groceries("garlic", 1, 2))
    do.adapt(page)
    expect(page.locator(".took")).to_be_visible()
    expect(page.locator(".thumb.broken")).to_have_count(1)
    expect(page.locator(".learning")).to_contain_text("5 pictures of 2 classes")
    do.drop(page.locator(".ask"), broken | groceries("garlic", 6))
    do.asked(page, 2)
    expect(page.locator(".question.broken")).to_have_count(1)
    assert "Class 2" in do.answers(page)


def test_the_webcam_shows_examples_and_asks(opened: Opened) -> None:
    page = opened()
    card = do.cards(page).nth(0)
    do.button(card, "Camera").click()
    hold = do.button(card, "Hold to capture")
    expect(card.locator("video")).to_have_js_property("paused", False)
    page.wait_for_function("() => document.querySelector('.camera video').videoWidth > 0")
    hold.hover()
    page.mouse.down()
    card.locator(".thumb").nth(2).wait_for(state="attached")
    page.mouse.up()
    held = card.locator(".thumb").count()
    hold.focus()
    page.keyboard.down("Space")
    card.locator(".thumb").nth(held + 1).wait_for(state="attached")
    page.keyboard.up("Space")
    do.button(card, "Camera").click()
    expect(card.locator("video")).to_have_count(0)
    do.drop(do.cards(page).nth(1), groceries("lemon", 1, 2, 3))
    expect(do.cards(page).nth(1).locator(".thumb")).to_have_count(3)
    do.adapt(page)
    do.button(page.locator(".asking"), "Camera").click()
    expect(page.locator('.live .answer[data-label="Class 1"]').first).to_be_visible()
    do.button(page, "Keep this frame").click()
    do.asked(page, 1)
    assert do.answers(page) == ["Class 1"]


def test_large_photographs_are_sent_smaller_unless_told_otherwise(opened: Opened) -> None:
    page = opened()
    taught(page)
    large = large_photograph()
    with page.expect_request("**/predict") as shrunk:
        do.drop(page.locator(".ask"), {"large.jpg": large})
    do.asked(page, 1)
    page.get_by_text("Options").click()
    page.get_by_label("Send large photographs smaller").uncheck()
    with page.expect_request("**/predict") as whole:
        do.drop(page.locator(".ask"), {"large too.jpg": large})
    do.asked(page, 2)
    sizes = [len(one.value.post_data or "") for one in (shrunk, whole)]
    assert do.answers(page) == ["lemon", "lemon"]
    assert sizes[0] < 2**19 < len(large) < sizes[1]


def test_curl_and_python_do_what_was_done(opened: Opened, tmp_path: Path) -> None:
    page = opened()
    taught(page, shots=3)
    do.drop(do.cards(page).nth(0), groceries("lemon", 4))
    expect(page.locator(".thumb")).to_have_count(7)
    do.adapt(page, again=True)
    do.button(page, "Remove picture 1 of garlic").click(force=True)
    do.adapt(page, again=True)
    do.drop(page.locator(".ask"), groceries("garlic", 6))
    do.asked(page, 1)
    page.get_by_text("Take it along").click()
    with page.expect_download() as download:
        do.button(page, "Pictures as zip").click()
    zipfile.ZipFile(download.value.path()).extractall(tmp_path)

    def shown(name: str) -> str:
        do.button(page, name).click()
        text = page.locator("#code-text").text_content() or ""
        do.button(page, "Close").click()
        return text

    def run(*command: str) -> str:
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    told = run(sys.executable, "-c", shown("As Python"))
    assert re.fullmatch(r"garlic 0\.\d+\n", told)
    script = shown("As curl")
    assert script.count("curl") == 4
    # By hand one copies the session's id from the first answer.
    first, rest = script.split("SESSION=SESSION_ID\n")
    session_id = json.loads(run("/bin/bash", "-euc", first))["session_id"]
    answers = run("/bin/bash", "-euc", f"SESSION={session_id}\n{rest.replace(' -s ', ' -sw /// ')}")
    versions = [json.loads(answer) for answer in answers.split("///")[:-1]]
    assert [one.get("version") for one in versions] == [2, 3, None]
    assert versions[-1]["predictions"][0]["label"] == "garlic"


def test_questions_that_come_while_it_is_busy_are_asked_afterwards(opened: Opened) -> None:
    page = opened()
    taught(page)
    do.button(page, "Check the examples").click()
    for number in (6, 7, 8):
        do.drop(page.locator(".ask"), groceries("lemon", number))
    do.asked(page, 3)
    assert do.answers(page) == ["lemon"] * 3


def test_beginning_anew_deletes_what_the_server_has(opened: Opened, server: str) -> None:
    page = opened()
    with page.expect_response("**/adapt") as adapted:
        taught(page)
    with page.expect_response("**/sessions/*"):
        do.button(page, "Start anew").click()
    made = adapted.value.json()["session_id"]
    assert httpx.get(f"{server}/sessions/{made}").status_code == 404
    expect(page.locator(".thumb")).to_have_count(0)
    expect(do.cards(page)).to_have_count(2)


def test_odd_names_are_names_alone_and_warnings_are_told(opened: Opened) -> None:
    page = opened(viewport={"width": 320, "height": 640}, tolerated=REFUSED)
    names = ["<img src=x onerror=alert(1)>\"'$HOME`id`\\", "x" * 100]
    for place, name in enumerate(names):
        do.cards(page).nth(place).get_by_role("textbox").fill(name)
        do.drop(do.cards(page).nth(place), groceries(("lemon", "garlic")[place], 1))
    do.adapt(page)
    expect(page.locator(".result .warning").first).to_contain_text("one image")
    do.drop(page.locator(".ask"), groceries("lemon", 6))
    do.asked(page, 1)
    assert do.answers(page) == names[:1]
    do.drop(do.cards(page).nth(1), groceries("garlic", 2))
    expect(page.locator(".class-card .thumb")).to_have_count(3)
    do.adapt(page, again=True)
    do.button(page, "Check the examples").click()
    page.locator(".heat").wait_for()
    assert page.evaluate("() => document.documentElement.scrollWidth") == 320


def test_more_classes_than_the_server_takes_are_told(opened: Opened) -> None:
    page = opened(tolerated=REFUSED)
    (lemon,) = groceries("lemon", 1).values()
    do.drop(
        page.locator(".teach"), {"many.zip": archive({f"c{n}/1.jpg": lemon for n in range(101)})}
    )
    expect(do.cards(page)).to_have_count(101)
    do.adapt(page)
    expect(page.locator(".notice.error")).to_contain_text("2 to 100 different labels, got 101.")


def test_a_session_that_is_gone_is_told_and_made_anew(opened: Opened, server: str) -> None:
    page = opened(tolerated=REFUSED)
    with page.expect_response("**/adapt") as adapted:
        taught(page)
    httpx.delete(f"{server}/sessions/{adapted.value.json()['session_id']}").raise_for_status()
    do.drop(page.locator(".ask"), groceries("lemon", 6))
    expect(page.locator(".result .notice")).to_contain_text("no longer has what it learned")
    do.adapt(page, again=True)
    assert do.answers(page) == ["lemon"]


@pytest.fixture
def asking_for_keys(tmp_path: Path) -> Iterator[str]:
    keys = tmp_path / "keys"
    keys.write_text(f"somebody {KEY}\n")
    settings = Settings(session_store="memory", workers=1, api_keys_file=keys)
    with local_server(create_app(settings)) as url:
        yield url


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(opened: Opened, asking_for_keys: str) -> None:
    page = opened(url=asking_for_keys, tolerated=REFUSED)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("asks for an API key")
    page.keyboard.type("wrong-key-of-the-browser")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("does not know that key")
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    taught(page)
    do.button(page, "As curl").click()
    expect(page.locator("#code-text")).to_contain_text("Bearer $INKLING_API_KEY")
    expect(page.locator("#code-text")).not_to_contain_text(KEY)
    do.button(page, "Close").click()
    page.reload()
    expect(page.get_by_role("dialog")).to_have_count(0)
    other = page.context.new_page()
    other.goto(asking_for_keys)
    expect(other.get_by_role("dialog")).to_be_visible()


def test_a_server_that_goes_and_comes_back_loses_nothing(opened: Opened, tmp_path: Path) -> None:
    program = ServerProcess(tmp_path)
    program.start()
    page = opened(url=program.url, tolerated=REFUSED)
    taught(page)
    program.stop()
    do.drop(page.locator(".ask"), groceries("lemon", 6))
    expect(page.locator("#weather")).to_contain_text("does not answer. Trying again")
    program.start()
    expect(page.locator("#weather")).to_have_text("", timeout=60_000)
    do.asked(page, 1)
    assert do.answers(page) == ["lemon"]
    program.stop()


def test_the_page_works_behind_a_prefix(opened: Opened) -> None:
    settings = Settings(session_store="memory", workers=1, root_path="/few/shots")
    with local_server(create_app(settings)) as url:
        page = opened("/few/shots", url=url)
        do.fill_with_samples(page)
        do.adapt(page)
        assert do.answers(page)[:3] == ["lemon", "garlic", "avocado"]
        page.close()


def test_all_is_done_by_keyboard(opened: Opened) -> None:
    page = opened()

    def press(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("() => document.activeElement.textContent") == name:
                page.keyboard.press("Enter")
                return
        raise AssertionError(f"no way to {name!r} by the tabulator")

    press("Draw")
    press("Try it with drawn characters")
    expect(do.button(page, "Adapt")).to_be_focused()
    page.keyboard.press("Enter")
    do.settled(page)
    expect(page.locator(".took")).to_be_visible()
    press("Check the examples")
    expect(page.locator(".heat")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_nothing_serious_is_found_by_axe(
    opened: Opened, size: str, scheme: Literal["light", "dark"]
) -> None:
    """In each state that a person meets; pictures of them are left in build/screenshots."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page = opened(
        viewport=SIZES[size], color_scheme=scheme, has_touch=size == "phone", tolerated=REFUSED
    )
    found = {"empty": faults(page)}
    do.fill_with_samples(page)
    do.drop(do.cards(page).nth(0), {**groceries("garlic", 11), "cut off.jpg": b"\xff\xd8\xff"})
    expect(page.locator(".class-card .thumb")).to_have_count(17)
    do.adapt(page)
    do.button(page, "Check the examples").click()
    page.locator(".heat").wait_for()
    found["photographs"] = faults(page)
    page.screenshot(path=SHOTS / f"{size}-{scheme}-photographs.png", full_page=True)
    do.button(page, "As Python").click()
    found["code"] = faults(page)
    do.button(page, "Close").click()
    do.button(page, "Draw").click()
    do.fill_with_samples(page)
    do.adapt(page)
    do.draw(page, page.locator(".live .pad"), CIRCLE)
    page.locator(".live .answer[data-label]").wait_for()
    found["drawings"] = faults(page)
    page.screenshot(path=SHOTS / f"{size}-{scheme}-drawings.png", full_page=True)
    assert not any(found.values()), json.dumps(found, indent=1)


def faults(page: Page) -> list[str]:
    """What axe calls serious or critical, each with where it is."""
    from axe_playwright_python.sync_playwright import Axe

    violations = (
        Axe()
        .run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]})
        .response["violations"]
    )
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary'][:300]}"
        for one in violations
        if one["impact"] in {"serious", "critical"}
    ]
