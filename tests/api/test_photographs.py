"""Photographs over HTTP by the initialization that ships: views, kept features, reports."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest
from inkling.cli.demo import SAMPLES, images

Form = list[tuple[str, bytes]]
GROCERIES = ("banana", "garlic", "lemon")


def form(first: int, stop: int, labels: Sequence[str] = GROCERIES) -> Form:
    """Sample photographs under their labels."""
    return [
        (label, path.read_bytes())
        for label in labels
        for path in images(SAMPLES["photographs"] / label)[first:stop]
    ]


def right(http: httpx.Client, session_id: str, queries: Form) -> int:
    """How many queries are classified as they are labelled."""
    sent = [("image", content) for _, content in queries]
    answer = http.post("/predict", files=sent, data={"session_id": session_id})
    assert answer.status_code == 200, answer.text
    guesses = [each["label"] for each in answer.json()["predictions"]]
    return sum(guess == label for guess, (label, _) in zip(guesses, queries, strict=True))


def test_more_images_are_added_to_what_was_kept_of_photographs(http: httpx.Client) -> None:
    made = http.post("/adapt", files=form(0, 3, GROCERIES[:2]), data={"report": "true"})
    assert made.status_code == 201, made.text
    session = made.json()
    assert session["initialization"]["name"] == "photos"
    assert session["executor"] == "trunk"
    assert session["views"] == 2
    assert session["loss"] == sorted(session["loss"], reverse=True)
    assert session["report"]["n_checked"] == 6
    place = f"/sessions/{session['session_id']}/support"
    grown = http.post(place, files=form(0, 3, GROCERIES[2:]))
    assert grown.status_code == 200, grown.text
    assert [each["images"] for each in grown.json()["classes"]] == [3, 3, 3]
    together = http.post("/adapt", files=form(0, 3)).json()
    assert grown.json()["loss"] == pytest.approx(together["loss"], abs=1e-6)
    assert right(http, session["session_id"], form(5, 9)) >= 11
    assert http.post(place, files=form(3, 4), data={"views": "2"}).status_code == 422


def test_a_call_chooses_how_many_views_are_looked_at(http: httpx.Client) -> None:
    (photos,) = [
        each
        for each in http.get("/initializations").json()["initializations"]
        if each["name"] == "photos"
    ]
    losses = []
    for n_views in (1, photos["views"], photos["max_views"]):
        made = http.post("/adapt", files=form(0, 2), data={"views": str(n_views)})
        assert made.status_code == 201, made.text
        assert made.json()["views"] == n_views
        assert right(http, made.json()["session_id"], form(5, 8)) >= 8
        losses.append(made.json()["loss"][-1])
    assert len(set(losses)) == len(losses)


def test_views_that_an_initialization_has_not_are_refused(
    http: httpx.Client, drawings: dict[str, list[bytes]]
) -> None:
    for n_views in (0, 7):
        refused = http.post("/adapt", files=form(0, 1), data={"views": str(n_views)})
        assert refused.status_code == 422
        (problem,) = refused.json()["problems"]
        assert problem["field"] == "views"
        assert f"expected 1 to 6, which is what 'photos' has, got {n_views}" in problem["message"]
    support = [(name, content) for name in list(drawings)[:3] for content in drawings[name][:2]]
    refused = http.post("/adapt", files=support, data={"views": "2"})
    assert "expected 5, which is what 'omniglot' has, got 2" in refused.text
