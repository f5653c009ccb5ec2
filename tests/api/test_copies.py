"""Copies in support sets: what a real server warns of, and what its report makes of them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ..copied import as_poor_jpeg, half_as_large, same_bytes
from .test_conversation import NAMES, Drawings, form

Fields = list[tuple[str, bytes]]


def adapt(
    http: httpx.Client, fields: Fields, path: str = "/adapt", **options: str
) -> dict[str, Any]:
    response = http.post(path, files=form(*fields), data=options)
    assert response.is_success, response.text
    answer: dict[str, Any] = response.json()
    return answer


def warned(answer: dict[str, Any]) -> dict[str, str]:
    told = {warning["code"]: warning["message"] for warning in answer["warnings"]}
    return {code: told[code] for code in ("same_image", "copied_image") if code in told}


@pytest.fixture
def support(drawings: Drawings) -> Fields:
    return [(name, content) for name in NAMES[:3] for content in drawings[name][:4]]


def test_copies_neither_move_a_report_nor_go_unnoticed(http: httpx.Client, support: Fields) -> None:
    plain = adapt(http, support, report="true")
    assert not warned(plain)
    copies = [
        (label, copied(content))
        for (label, content), copied in zip(
            support[:6], (same_bytes, as_poor_jpeg, half_as_large) * 2, strict=True
        )
    ]
    answer = adapt(http, support + copies, report="true")
    first, second = NAMES[:2]
    assert warned(answer) == {
        "copied_image": "copies of one picture in a class: "
        + "; ".join(f"{first!r} ({first!r}[{n}], {first!r}[{n + 4}])" for n in range(4))
        + f"; {second!r} ({second!r}[0], {second!r}[4]) and 1 more pictures"
    }
    report, before = answer["report"], plain["report"]
    assert report["n_checked"] == before["n_checked"] == len(support)
    assert report["accuracy"] == pytest.approx(before["accuracy"], abs=0.1)


def test_copies_under_another_label_are_told_and_suspected(
    http: httpx.Client, support: Fields
) -> None:
    first, second = NAMES[:2]
    answer = adapt(http, [*support, (second, as_poor_jpeg(support[0][1]))], report="true")
    assert warned(answer) == {
        "same_image": "the same picture has several labels: "
        f"{first!r}, {second!r} ({first!r}[0], {second!r}[4])"
    }
    report = answer["report"]
    assert report["n_checked"] == len(support) - 1
    suspect = report["suspects"][0]
    assert (suspect["label"], suspect["index"], suspect["looks_like"]) == (second, 4, first)


def test_copies_of_one_picture_alone_make_a_class_that_cannot_be_checked(
    http: httpx.Client, support: Fields, drawings: Drawings
) -> None:
    content = drawings[NAMES[3]][0]
    answer = adapt(http, [*support, ("copied", content), ("copied", half_as_large(content))])
    assert "'copied'[0], 'copied'[1]" in warned(answer)["copied_image"]
    fields = [*support, ("copied", content), ("copied", content)]
    report = adapt(http, fields, report="true")["report"]
    assert report["not_checkable"] == ["copied"]
    assert report["n_checked"] == len(support)


def test_an_image_that_is_added_is_known_to_be_a_copy_of_an_earlier_one(
    http: httpx.Client, support: Fields
) -> None:
    session_id = adapt(http, support)["session_id"]
    more = [("new", as_poor_jpeg(support[5][1])), (NAMES[2], half_as_large(support[8][1]))]
    assert warned(adapt(http, more, f"/sessions/{session_id}/support")) == {
        "same_image": "the same picture has several labels: "
        f"{NAMES[1]!r}, 'new' (position 5, 'new'[0])",
        "copied_image": "copies of one picture in a class: "
        f"{NAMES[2]!r} (position 8, {NAMES[2]!r}[0])",
    }


def test_images_of_many_bytes_are_compared_too(http: httpx.Client, support: Fields) -> None:
    # Beyond what a job decodes itself.
    fields = [*support * 4]
    told = warned(adapt(http, fields))
    assert list(told) == ["copied_image"]
    assert "and 7 more pictures" in told["copied_image"]
    assert adapt(http, fields, report="true")["report"]["method"] == "leave_one_out"
